-- KEYS[1] the marks of a site; ARGV how long to keep them in ms, then the parts to renew
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for i = 2, #ARGV do
  local was = tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or '0')
  redis.call('HSET', KEYS[1], ARGV[i], string.format('%.0f', math.max(was + 1, now)))
end
local base = redis.call('HGET', KEYS[1], 'base')
if not base then
  base = string.format('%.0f', now)
  redis.call('HSET', KEYS[1], 'base', base)
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return tonumber(base)
