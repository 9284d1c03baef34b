-- Counts all limits of one request, or none of them. The first lines, which set `now` and
-- `micros`, are put before by the caller.
--
-- KEYS: the mark of this Redis' life, then one counter for each limit.
-- ARGV: the life the caller knows, 1 to consume, the caller's clock (read only in tests); then for
-- each limit: limit, window, cost, extra wanted for a lease, how long a lease lasts, nodes, and a
-- list of corrections led by its length. A correction is a pair: an age and a count taken that
-- long ago that this Redis does not know, or a moment and a negative count that comes back.
--
-- A counter is a packed list of moments and counts, oldest first: a cell is counted in full until
-- the window has passed since its moment (see `model::key::limit::Window`). What a lease hands
-- out is counted at the end of the lease, so that no use of it is forgotten early.
--
-- Returns the life alone when the caller knows another one (nothing was done), else the life, the
-- time, 1 when allowed; then for each limit: used, reset, extra granted, 1 when it refused.

local SUB_WINDOWS = 100
local MAX_NUMBERS = 208

local life = tonumber(redis.call('GET', KEYS[1]) or nil)
if not life then
  life = micros
  redis.call('SET', KEYS[1], string.format('%.0f', life))
end
if life ~= tonumber(ARGV[1]) then
  return { life }
end
local consume = ARGV[2] == '1'

local position = 3
local function number()
  position = position + 1
  return tonumber(ARGV[position])
end

local function same_part(one, other, part)
  return math.floor(one / part) == math.floor(other / part)
end

-- What is still counted. A moment far ahead was written before the server's clock went back.
local function read(limit)
  local text = redis.call('GET', limit.key)
  local cells, used = {}, 0
  if not text then
    return cells, used
  end
  local stored = cmsgpack.unpack(text)
  local ahead = now + limit.part + limit.lasts
  for i = 1, #stored, 2 do
    local last, count = math.min(stored[i], ahead), stored[i + 1]
    if now - last <= limit.window and count > 0 then
      cells[#cells + 1] = last
      cells[#cells + 1] = count
      used = used + count
    end
  end
  return cells, used
end

local function add(limit, moment, count)
  local cells, i = limit.cells, #limit.cells - 1
  while i > 0 and cells[i] > moment and not same_part(cells[i], moment, limit.part) do
    i = i - 2
  end
  limit.used = limit.used + count
  if i > 0 and same_part(cells[i], moment, limit.part) then
    cells[i] = math.max(cells[i], moment)
    cells[i + 1] = cells[i + 1] + count
    return
  end
  table.insert(cells, i + 2, moment)
  table.insert(cells, i + 3, count)
  if #cells > MAX_NUMBERS then
    cells[4] = cells[4] + cells[2]
    table.remove(cells, 1)
    table.remove(cells, 1)
  end
end

local function give_back(limit, moment, count)
  local cells = limit.cells
  for i = 1, #cells, 2 do
    if cells[i] >= moment and count > 0 then
      local back = math.min(cells[i + 1], count)
      cells[i + 1] = cells[i + 1] - back
      limit.used = limit.used - back
      count = count - back
    end
  end
end

local function next_limit(key)
  local limit = { key = key, most = number(), window = number(), cost = number() }
  limit.want, limit.lasts, limit.nodes = number(), number(), number()
  limit.part = math.max(math.ceil(limit.window / SUB_WINDOWS), 1)
  limit.cells, limit.used = read(limit)
  local corrections = number()
  for _ = 1, corrections do
    local moment, count = number(), number()
    if count < 0 then
      give_back(limit, moment, -count)
    elseif moment <= limit.window then
      add(limit, now - moment, count)
    end
  end
  limit.changed = corrections > 0
  limit.refused = limit.used + limit.cost > limit.most
  return limit
end

-- Takes the cost, and for a lease as much beyond it as is harmless: a fiftieth of the limit, and a
-- quarter of this node's part of what remains.
local function take(limit)
  if limit.cost > 0 then
    add(limit, now, limit.cost)
    limit.changed = true
  end
  local share = (limit.most - limit.used) / (4 * limit.nodes)
  limit.extra = math.max(math.floor(math.min(limit.want, limit.most / 50, share)), 0)
  if limit.extra > 0 then
    add(limit, now + limit.lasts, limit.extra)
    limit.changed = true
  end
end

local function write(limit)
  if #limit.cells == 0 then
    redis.call('DEL', limit.key)
    return
  end
  local keep = limit.window + limit.part + limit.lasts
  redis.call('SET', limit.key, cmsgpack.pack(limit.cells), 'PX', string.format('%.0f', keep))
end

-- Until a refused cost fits; otherwise until something more is free.
local function reset(limit)
  local cost = limit.refused and limit.cost or 0
  local over, freed = math.max(limit.used + cost - limit.most, 1), 0
  for i = 1, #limit.cells, 2 do
    freed = freed + limit.cells[i + 1]
    if freed >= over then
      return limit.cells[i] + limit.window + 1 - now
    end
  end
  return cost > limit.most and limit.window or 0
end

local limits, allowed = {}, true
for i = 2, #KEYS do
  local limit = next_limit(KEYS[i])
  allowed = allowed and not limit.refused
  limits[#limits + 1] = limit
end

local answer = { life, now, allowed and 1 or 0 }
for _, limit in ipairs(limits) do
  limit.extra = 0
  if allowed and consume then
    take(limit)
  end
  if consume and limit.changed then
    write(limit)
  end
  answer[#answer + 1] = limit.used
  answer[#answer + 1] = reset(limit)
  answer[#answer + 1] = limit.extra
  answer[#answer + 1] = limit.refused and 1 or 0
end
return answer
