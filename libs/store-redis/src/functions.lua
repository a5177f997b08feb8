#!lua name=latchkey
-- Keys of one call share one hash tag. A record begins with its header: format u8, revision u64, sessions closed at u64.
-- Positions are handed on as text: Lua prints a number with 14 digits only.

local RECORD_FORMAT = 1
local HEADER_BYTES = 17
-- A replica that was away for longer than this many writes starts with an empty cache; about 7 MB.
local LOG_ENTRIES = 100000
-- REPLAY_WINDOW_MS of the port.
local REPLAY_MS = 600000

local function header_of(record)
  if not record then return 0, 0 end
  local format, revision, closed_at = struct.unpack('>BI8I8', record)
  if format ~= RECORD_FORMAT then error('record of an unknown format') end
  return revision, closed_at
end

local function index(ids_key, overdue_key, id, deadline)
  redis.call('ZADD', ids_key, 0, id)
  if deadline == '' then
    redis.call('ZREM', overdue_key, id)
  else
    redis.call('ZADD', overdue_key, deadline, id)
  end
end

-- Drops the last uses of all credentials but these, which are divided by spaces.
local function prune(uses_key, credentials)
  local stays = {}
  for credential in string.gmatch(credentials, '%S+') do stays[credential] = true end
  for _, credential in ipairs(redis.call('HKEYS', uses_key)) do
    if not stays[credential] then redis.call('HDEL', uses_key, credential) end
  end
end

-- KEYS: record, log, ids, overdue, last uses, and replay if the write has one.
-- ARGV: device id, expected revision, body ('' deletes), log entry, '1' if every session is closed,
--       when it is overdue in ms or '', replay, channel, the credentials that it has then.
-- Answers {'W', revision}, {'C', revision of the record} or {'R', replay}.
local function write(keys, args)
  local record_key, log_key, ids_key, overdue_key, uses_key, replay_key = unpack(keys)
  local id, expected, body, entry, closes, deadline, replay, channel, credentials = unpack(args)
  local known = replay_key and redis.call('GET', replay_key)
  if known then return { 'R', known } end
  local revision, closed_at = header_of(redis.call('GET', record_key))
  if revision ~= tonumber(expected) then return { 'C', string.format('%.0f', revision) } end
  -- 0-* numbers the entries without a gap, and goes on where it was after the record was deleted.
  local position = string.sub(redis.call('XADD', log_key, 'MAXLEN', '~', LOG_ENTRIES, '0-*', 'e', entry), 3)
  if body == '' then
    redis.call('DEL', record_key)
    redis.call('ZREM', ids_key, id)
    redis.call('ZREM', overdue_key, id)
  else
    local new = tonumber(position)
    local header = struct.pack('>BI8I8', RECORD_FORMAT, new, closes == '1' and new or closed_at)
    redis.call('SET', record_key, header .. body)
    index(ids_key, overdue_key, id, deadline)
  end
  prune(uses_key, credentials)
  if replay_key then redis.call('SET', replay_key, position .. ' ' .. replay, 'PX', REPLAY_MS) end
  redis.call('SPUBLISH', channel, position .. ' ' .. entry)
  return { 'W', position }
end

local function text_of(item)
  return string.sub(item[1], 3) .. ' ' .. item[2][2]
end

-- KEYS: log. ARGV: position and nonce of the last entry taken in, most entries.
-- Answers {'1' if that entry stands there, the log's last entry or '', entries after it ...}.
local function log(keys, args)
  local position, nonce, limit = args[1], args[2], tonumber(args[3])
  local last = redis.call('XREVRANGE', keys[1], '+', '-', 'COUNT', 1)[1]
  local reply = { '0', last and text_of(last) or '' }
  local items, known, first
  if position == '0' then
    items = redis.call('XRANGE', keys[1], '-', '+', 'COUNT', limit + 1)
    known, first = nonce == '' and (not items[1] or items[1][1] == '0-1'), 1
  else
    items = redis.call('XRANGE', keys[1], '0-' .. position, '+', 'COUNT', limit + 1)
    local found = items[1] and items[1][1] == '0-' .. position and string.match(items[1][2][2], '^%S+')
    known, first = found == nonce, 2
  end
  if not known then return reply end
  reply[1] = '1'
  for i = first, math.min(#items, first + limit - 1) do
    reply[#reply + 1] = text_of(items[i])
  end
  return reply
end

-- Members: replica -> position that it reported; suspects: replica -> token of who suspects it.
local function beat(tag, replica, position, nonce)
  local log_key, members_key, suspects_key = tag .. 'log', tag .. 'members', tag .. 'suspects'
  local last = redis.call('XREVRANGE', log_key, '+', '-', 'COUNT', 1)[1]
  local end_position = last and string.sub(last[1], 3) or '0'
  local known
  if position == end_position then
    known = (last and string.match(last[2][2], '^%S+') or '') == nonce
  elseif position == '0' then
    -- Nothing was taken in yet: all that there ever was must still be there.
    known = nonce == '' and redis.call('XRANGE', log_key, '-', '+', 'COUNT', 1)[1][1] == '0-1'
  else
    local item = redis.call('XRANGE', log_key, '0-' .. position, '0-' .. position)[1]
    known = item and string.match(item[2][2], '^%S+') == nonce
  end
  redis.call('HDEL', suspects_key, replica) -- it lives: whoever suspects it must begin anew
  if redis.call('ZSCORE', members_key, replica) then
    redis.call('ZADD', members_key, known and position or '0', replica)
  else
    -- Not a member: it has no lease, and gets none before it has taken in all that is in the log now.
    redis.call('ZADD', members_key, end_position, replica)
  end
  local floor = redis.call('ZRANGE', members_key, 0, 0, 'WITHSCORES')[2]
  return known and '1' or '0', floor, last and text_of(last) or ''
end

-- KEYS: the log of the first shard. ARGV: replica, and for each shard its tag, position and nonce of the last entry taken
-- in. Answers {this server's time in ms, and for each shard: '1' if that entry stands there, the lowest position that
-- any member reported, the log's last entry or ''}. A heartbeat that changes nothing writes nothing to the AOF.
-- The shards lie in different slots of this server, so their keys cannot be declared.
local function heartbeat(_, args)
  local time = redis.call('TIME')
  local reply = { string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)) }
  for i = 2, #args, 3 do
    local fine, known, floor, last = pcall(beat, 'lk:{' .. args[i] .. '}:', args[1], args[i + 1], args[i + 2])
    if not fine then
      -- This server is giving the shard away; the others are not to suffer.
      known, floor, last = '!', type(known) == 'table' and known.err or tostring(known), ''
    end
    reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = known, floor, last
  end
  return reply
end

-- KEYS: members, suspects. ARGV: position, token. Marks the members that have not reported the position yet.
local function suspect(keys, args)
  local behind = redis.call('ZRANGEBYSCORE', keys[1], '-inf', '(' .. args[1])
  for _, replica in ipairs(behind) do
    redis.call('HSET', keys[2], replica, args[2])
  end
  return behind
end

-- KEYS: members, suspects. ARGV: token, replicas. Called a full wait after the marking, by the caller's own clock:
-- whoever still carries the mark sent no heartbeat since, so its lease has ended. Answers how many were taken out.
local function evict(keys, args)
  local evicted = 0
  for i = 2, #args do
    if redis.call('HGET', keys[2], args[i]) == args[1] then
      redis.call('ZREM', keys[1], args[i])
      redis.call('HDEL', keys[2], args[i])
      evicted = evicted + 1
    end
  end
  return evicted
end

-- KEYS: members, suspects. ARGV: replica. It has stopped deciding.
local function leave(keys, args)
  redis.call('ZREM', keys[1], args[1])
  redis.call('HDEL', keys[2], args[1])
  return 1
end

-- KEYS: record. ARGV: expected revision, body. Answers 1 if the body was replaced; the header stays.
local function reseal(keys, args)
  local record = redis.call('GET', keys[1])
  local revision = header_of(record)
  if revision == 0 or revision ~= tonumber(args[1]) then return 0 end
  redis.call('SET', keys[1], string.sub(record, 1, HEADER_BYTES) .. args[2])
  return 1
end

redis.register_function('lk_write', write)
redis.register_function({ function_name = 'lk_log', callback = log, flags = { 'no-writes' } })
redis.register_function('lk_reseal', reseal)
redis.register_function({ function_name = 'lk_heartbeat', callback = heartbeat, flags = { 'allow-cross-slot-keys' } })
redis.register_function('lk_suspect', suspect)
redis.register_function('lk_evict', evict)
redis.register_function('lk_leave', leave)

-- Last uses of credentials: no part of record and log.

local function raise(key, field, ms)
  local known = redis.call('HGET', key, field)
  if not known or tonumber(ms) > tonumber(known) then redis.call('HSET', key, field, ms) end
end

-- KEYS: a record and the uses of its device, again and again. ARGV: credential and ms of its use, for each such pair.
local function uses(keys, args)
  for i = 1, #keys, 2 do
    if redis.call('EXISTS', keys[i]) == 1 then raise(keys[i + 1], args[i], args[i + 1]) end
  end
  return #keys / 2
end

-- KEYS: reports (replica -> ms until which they are complete; '' -> until when uses may have gone unnoticed).
-- ARGV: replica, ms until which its reports are complete, until when it lost uses, how long a replica is silent that has
-- vanished, for how long after its last report it may have decided.
local function uses_told(keys, args)
  local replica, complete, lost, silence, blind = unpack(args)
  raise(keys[1], replica, complete)
  raise(keys[1], '', lost)
  local all = redis.call('HGETALL', keys[1])
  for i = 1, #all, 2 do
    local last = tonumber(all[i + 1])
    if all[i] ~= '' and last <= tonumber(complete) - tonumber(silence) then
      raise(keys[1], '', string.format('%.0f', last + tonumber(blind)))
      redis.call('HDEL', keys[1], all[i])
    end
  end
  return 1
end

-- KEYS: uses of devices. Answers credential and ms, again and again.
local function last_uses(keys)
  local reply = {}
  for _, key in ipairs(keys) do
    for _, text in ipairs(redis.call('HGETALL', key)) do reply[#reply + 1] = text end
  end
  return reply
end

redis.register_function('lk_uses', uses)
redis.register_function('lk_uses_told', uses_told)
redis.register_function({ function_name = 'lk_last_uses', callback = last_uses, flags = { 'no-writes' } })
