-- KEYS[1] the entry, KEYS[2] when each entry of the site ends, KEYS[3] how large each is
-- ARGV value, how long to keep it in ms, now in ms, most bytes of the site
local entry, index, sizes = KEYS[1], KEYS[2], KEYS[3]
local keep, now, most = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local function forget(name)
  local size = redis.call('HGET', sizes, name)
  redis.call('ZREM', index, name)
  redis.call('HDEL', sizes, name)
  return redis.call('HINCRBY', sizes, '', size and '-' .. size or '0')
end

for _, name in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, 100)) do forget(name) end
local total = forget(entry)
local size = #ARGV[1] + 256
while total + size > most do
  local first = redis.call('ZRANGE', index, 0, 0)[1]
  if not first then break end
  redis.call('UNLINK', first)
  total = forget(first)
end
redis.call('SET', entry, ARGV[1], 'PX', keep)
redis.call('ZADD', index, now + keep, entry)
redis.call('HSET', sizes, entry, size)
redis.call('HINCRBY', sizes, '', size)
for _, name in ipairs({index, sizes}) do
  if redis.call('PTTL', name) < keep then redis.call('PEXPIRE', name, keep) end
end
return 1
