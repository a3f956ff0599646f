-- One turn of one replica at the queue of one base: it hands in what happened to its
-- requests and takes the requests that may leave now. Package budget's court does the
-- same in Go, for when there is no Redis; the tests run over both.
--
-- Times are milliseconds of this server's clock, the one clock of all replicas.
-- A slot of the hashes slots and token is a request: -t while it is on its way, where
-- t is when it is forgotten if its replica never comes back; then t, the end of the
-- second that it still fills.
local born, queue, slots, state, flows, alive, token = unpack(KEYS)
local a = cjson.decode(ARGV[1])

local now = a.now
if now == 0 then
  local t = redis.call('TIME')
  now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- A Redis without memory does not know what left just before it began.
local hold = tonumber(redis.call('GET', born) or nil)
if not hold then
  hold = now + a.window + a.transit
  redis.call('SET', born, hold)
end

local s = {}
local raw = redis.call('HGETALL', state)
for i = 1, #raw, 2 do s[raw[i]] = raw[i + 1] end
local v, epoch, phase = tonumber(s.v or 0), tonumber(s.epoch or 0), s.phase or ''
local closed, grow = tonumber(s.closed or 0), tonumber(s.grow or 0)
local limit, ceil = math.min(tonumber(s.limit or a.limit), a.limit), math.min(tonumber(s.ceil or a.limit), a.limit)

local function release(key, d)
  local held = redis.call('HGET', key, d.id)
  if not held then return end
  if d.outcome == 'unsent' then
    redis.call('HDEL', key, d.id)
  elseif tonumber(held) < 0 then
    redis.call('HSET', key, d.id, now + a.window)
  end
end

for _, d in ipairs(a.dones) do
  release(slots, d)
  release(token, d)
  if d.epoch == epoch then -- else the news is about a time before the last refusal
    if d.outcome == 'refused' then
      epoch = epoch + 1
      if phase == '' then
        phase, closed = 'trial', now + a.backoff
        ceil = math.max(1, limit - 2)
        limit = math.max(1, math.floor(limit / 2))
      else
        phase, closed = 'locked', now + a.lockout
      end
      grow = closed + a.calm
    elseif d.outcome == 'answered' then
      phase = ''
    end
  end
end
if now >= grow then
  if limit < ceil then
    limit, grow = limit + 1, now + a.calm
  elseif ceil < a.limit then
    ceil, grow = ceil + 1, now + a.relearn
  end
end

local function occupied(key)
  local n, soonest = 0, math.huge
  local held = redis.call('HGETALL', key)
  for i = 1, #held, 2 do
    local t = tonumber(held[i + 1])
    if math.abs(t) <= now then
      redis.call('HDEL', key, held[i])
    else
      n = n + 1
      soonest = math.min(soonest, t > 0 and t or math.min(-t, now + a.window))
    end
  end
  return n, soonest
end
local used, free = occupied(slots)
local tokens, tokenFree = occupied(token)

for _, l in ipairs(a.leaves) do
  if redis.call('ZREM', queue, l.id) == 1 then
    redis.call('HINCRBYFLOAT', flows, l.flow, -1 / l.weight)
  end
end

local refused = {}
for _, j in ipairs(a.joins) do
  local tag = v
  if not j.front then
    tag = math.max(v, tonumber(redis.call('HGET', flows, j.flow) or 0)) + 1 / j.weight
  end
  redis.call('ZADD', queue, tag, j.id)
  local ahead = redis.call('ZRANK', queue, j.id)
  local wait = math.max(0, closed - now, hold - now) + math.floor((ahead + used) / limit) * a.window
  if wait > j.wait or (not j.front and redis.call('ZCARD', queue) > a.most) then
    redis.call('ZREM', queue, j.id)
    refused[#refused + 1] = j.id
    refused[#refused + 1] = math.max(wait, a.window)
  elseif not j.front then
    redis.call('HSET', flows, j.flow, tag)
  end
end

-- A replica that was given up, or that this server has forgotten, joins anew.
local known = tonumber(redis.call('HGET', alive, a.replica) or -1) >= 0 and 1 or 0
redis.call('HSET', alive, a.replica, now)
local granted, wait = {}, a.beat
while true do
  local head = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
  if #head == 0 then break end
  local shut = math.max(closed, hold)
  if now < shut then
    wait = shut - now
    break
  end
  if used >= (phase == '' and limit or 1) then
    wait = free - now
    break
  end
  if tokens >= a.tokens then
    wait = tokenFree - now
    break
  end
  local owner = string.match(head[1], '^([^/]*)/')
  if owner ~= a.replica then
    local seen = tonumber(redis.call('HGET', alive, owner) or 0)
    if now - seen < a.dead then
      wait = a.yield
      break
    end
    redis.call('ZREM', queue, head[1])
    redis.call('HSET', alive, owner, -1)
  else
    redis.call('ZREM', queue, head[1])
    v = math.max(v, tonumber(head[2]))
    redis.call('HSET', slots, head[1], -(now + a.lease))
    redis.call('HSET', token, head[1], -(now + a.lease))
    used, tokens = used + 1, tokens + 1
    free, tokenFree = math.min(free, now + a.window), math.min(tokenFree, now + a.window)
    granted[#granted + 1] = head[1]
  end
end

local waiting = redis.call('ZCARD', queue)
if waiting == 0 then
  redis.call('DEL', flows)
  v = 0
end
redis.call('HSET', state, 'v', v, 'epoch', epoch, 'phase', phase, 'closed', closed, 'grow', grow, 'limit', limit, 'ceil', ceil)
redis.call('PEXPIRE', state, 2 * a.relearn)
for _, key in ipairs({queue, slots, flows, alive, token}) do redis.call('PEXPIRE', key, 120000) end
return {now, math.max(1, math.min(wait, a.beat)), epoch, limit, waiting, known, granted, refused}
