-- Sends the body of a file with other letters at its mark in every request, or the same ones when the third argument is "same".
--   wrk ... -s body.lua URL -- FILE NONCE [same] [HEADER: VALUE ...]
local letters = "bcdfghjklmnpqrstvwxz"
local mark = "QQQQQQQQQQQQ"
local before, after, number, fixed

local function mixed(value)
  local found = {}
  for index = 1, #mark do
    local digit = value % #letters
    found[index] = letters:sub(digit + 1, digit + 1)
    value = (value - digit) / #letters
  end
  return table.concat(found)
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local body = file:read("*a")
  file:close()
  local from, to = body:find(mark, 1, true)
  before, after, number = body:sub(1, from - 1), body:sub(to + 1), tonumber(args[2])
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  for index = 4, #args do
    local name, value = args[index]:match("^(.-): (.*)$")
    wrk.headers[name] = value
  end
  if args[3] == "same" then
    fixed = wrk.format(nil, nil, nil, before .. mixed(number) .. after)
  end
end

function request()
  if fixed then return fixed end
  number = number + 1
  return wrk.format(nil, nil, nil, before .. mixed(number) .. after)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('\n{"requests": %d, "seconds": %.6f, "p50_ms": %.4f, "p99_ms": %.4f, "failed": %d}\n', summary.requests,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
