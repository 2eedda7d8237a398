-- One workload for wrk: wrk ... -s load.lua URL -- WORKLOAD SEED USERS_FILE USERS STRIDE SIZE THREADS
-- PORTS in the environment, with blanks between, names a port of 127.0.0.1 for each thread in turn.
-- Each line of the users' file: id and token of an active user. Task (h * STRIDE + 1) + k * USERS is user h's;
-- the tasks to delete come after SIZE, number j belongs to active user j % (lines of the file).

local threads = {}
-- The mix, in twelfths: half lists, a quarter reads of one, the rest writes.
local mix = {"list", "list", "list", "list", "list", "list", "read", "read", "read", "create", "update", "toggle"}
local expected = {list = 200, read = 200, create = 201, update = 200, toggle = 200, delete = 204, noop = 200}

function setup(thread)
  table.insert(threads, thread)
  thread:set("number", #threads)
  local ports = {}
  for port in (os.getenv("PORTS") or ""):gmatch("%d+") do table.insert(ports, port) end
  if #ports > 0 then thread.addr = wrk.lookup("127.0.0.1", ports[(#threads - 1) % #ports + 1])[1] end
end

function init(args)
  workload, seed = args[1], tonumber(args[2])
  everyone, stride, size, threads_in_all = tonumber(args[4]), tonumber(args[5]), tonumber(args[6]), tonumber(args[7])
  math.randomseed(seed * 1000 + number)
  active, asked, got, spare = {}, {}, {}, number - 1
  for line in io.lines(args[3]) do
    local id, token = line:match("(%S+) (%S+)")
    table.insert(active, {
      path = "/api/" .. id .. "/", bare = {Authorization = "Bearer " .. token},
      json = {Authorization = "Bearer " .. token, ["Content-Type"] = "application/json"},
    })
  end
  wrk.headers["Host"] = "127.0.0.1"
end

function request()
  local kind = workload == "mix" and mix[math.random(#mix)] or workload
  local h = math.random(0, #active - 1)
  if kind == "delete" then h = spare % #active end
  local user, status = active[h + 1], expected[kind]
  asked[status] = (asked[status] or 0) + 1
  if kind == "noop" then return wrk.format("GET", user.path .. "noop", user.bare) end
  if kind == "list" then return wrk.format("GET", user.path .. "tasks?limit=50", user.bare) end
  if kind == "create" then
    return wrk.format("POST", user.path .. "tasks", user.json,
      '{"title": "Bring the bicycle in", "description": "Before it rains, and lock it."}')
  end
  local id
  if kind == "delete" then
    id, spare = size + 1 + spare, spare + threads_in_all
  else
    id = h * stride + 1 + math.random(0, math.floor(size / everyone) - 1) * everyone
  end
  local path = user.path .. "tasks/" .. id
  if kind == "read" then return wrk.format("GET", path, user.bare) end
  if kind == "delete" then return wrk.format("DELETE", path, user.bare) end
  if kind == "toggle" then return wrk.format("PATCH", path .. "/complete", user.bare) end
  return wrk.format("PUT", path, user.json,
    '{"title": "Bring the bicycle in", "description": "It rained.", "completed": ' .. tostring(id % 2 == 0) .. "}")
end

function response(status)
  got[status] = (got[status] or 0) + 1
end

function done(summary, latency)
  local function join(name)
    local sums, parts = {}, {}
    for _, thread in ipairs(threads) do
      for status, count in pairs(thread:get(name)) do sums[status] = (sums[status] or 0) + count end
    end
    for status, count in pairs(sums) do table.insert(parts, string.format('"%d": %d', status, count)) end
    return "{" .. table.concat(parts, ", ") .. "}"
  end
  local errors = summary.errors
  print(string.format('JSON{"requests": %d, "microseconds": %d, "p50": %d, "p95": %d, "p99": %d, "broken": %d,'
    .. ' "asked": %s, "got": %s}', summary.requests, summary.duration, latency:percentile(50), latency:percentile(95),
    latency:percentile(99), errors.connect + errors.read + errors.write + errors.timeout, join("asked"), join("got")))
end
