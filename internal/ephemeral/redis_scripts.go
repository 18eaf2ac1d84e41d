package ephemeral

import "github.com/redis/go-redis/v9"

// script is Lua that Redis runs in one step. It is sent by its hash, and in full
// only to a server that does not know it yet.
type script struct {
	name, text, hash string
}

func newScript(name, text string) script {
	return script{name: name, text: text, hash: redis.NewScript(text).Hash()}
}

// An item is one key: "v", the run of the server that took it in, the value;
// or "t" and the tombstone. held returns the stored string, or nil if there is
// none that counts. INFO may be forbidden to us; the run is then unknown, in
// every run alike.
const itemPrelude = `
local function run()
	local info = redis.pcall('INFO', 'server')
	local _, at
	if type(info) == 'string' then _, at = string.find(info, 'run_id:', 1, true) end
	return at and string.sub(info, at + 1, at + 16) or '----------------'
end
local function held()
	local item = redis.call('GET', KEYS[1])
	if not item then return nil end
	if string.sub(item, 1, 1) == 'v' and string.sub(item, 2, 17) ~= run() then return nil end
	return item
end
`

// itemHeader is how long "v" and the run are.
const itemHeader = 17

var (
	// ARGV: value, ttl in ms.
	putScript = newScript("put", itemPrelude+`
redis.call('SET', KEYS[1], 'v' .. run() .. ARGV[1], 'PX', ARGV[2])
`)

	getScript = newScript("get", itemPrelude+`
return held()
`)

	// ARGV: tombstone, its life in ms or 0.
	takeScript = newScript("take", itemPrelude+`
local item = held()
if item and string.sub(item, 1, 1) == 'v' then
	if tonumber(ARGV[2]) > 0 then
		redis.call('SET', KEYS[1], 't' .. ARGV[1], 'PX', ARGV[2])
	else
		redis.call('DEL', KEYS[1])
	end
end
return item
`)

	// ARGV: old, new.
	swapScript = newScript("swap", itemPrelude+`
local item = held()
if not item or string.sub(item, 1, 1) ~= 'v' or string.sub(item, 18) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], string.sub(item, 1, 17) .. ARGV[2], 'KEEPTTL')
return 1
`)

	// ARGV: ttl in ms.
	markScript = newScript("mark", `
return redis.call('SET', KEYS[1], '', 'PX', ARGV[1], 'NX') and 1 or 0
`)

	markedScript = newScript("marked", `
return redis.call('EXISTS', KEYS[1])
`)

	// ARGV: n, life in ms.
	addScript = newScript("add", `
local total = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return total
`)

	// ARGV: now, then for each key max, own, per, at; all times in Unix microseconds.
	// It is the function spend in Lua; a property test compares the two.
	// Returns 0 and the moments of the spends, or the key without room that takes
	// longest, whether only own is in the way, and how long it takes.
	spendScript = newScript("spend", logPrelude+`
local now = tonumber(ARGV[1])
local logs, changed = {}, {}
local hard, soft = {0, 0, 0}, {0, 1, 0}
local function refuse(refusal, i, log, sum, most, per)
	local over = sum - most + 1
	if over <= 0 then return end
	local wait = per
	for j = 1, #log, 2 do
		over = over - log[j+1]
		if over <= 0 then
			wait = log[j] + per - now
			break
		end
	end
	if wait > refusal[3] then refusal[1], refusal[3] = i, wait end
end
local kept = redis.call('MGET', unpack(KEYS))
for i = 1, #KEYS do
	local most, own, per, at = tonumber(ARGV[4*i-2]), tonumber(ARGV[4*i-1]), tonumber(ARGV[4*i]), tonumber(ARGV[4*i+1])
	local log = kept[i] and cmsgpack.unpack(kept[i]) or {}
	local n, sum = #log, 0
	if n > 0 and log[n-1] > at + per then
		local last = 0
		for j = 1, n, 2 do
			if log[j] > at + per then log[j] = math.max(at, last) end
			last = log[j]
		end
		changed[i] = true
	end
	local first = 1
	while first < n and log[first] + per <= now do first = first + 2 end
	if first > 1 then log = {unpack(log, first)} end
	for j = 2, #log, 2 do sum = sum + log[j] end
	logs[i] = log
	if sum >= own then
		refuse(hard, i, log, sum, most, per)
		refuse(soft, i, log, sum, own, per)
	end
end
local answer = {0}
if hard[1] > 0 then answer = hard elseif soft[1] > 0 then answer = soft end
local allowed = answer[1] == 0
for i, key in ipairs(KEYS) do
	local per, at, log = tonumber(ARGV[4*i]), tonumber(ARGV[4*i+1]), logs[i]
	if allowed then
		local n = #log
		if n > 0 and log[n-1] >= at then
			log[n] = log[n] + 1
			at = log[n-1]
		else
			log[n+1], log[n+2] = at, 1
		end
		answer[i+1] = at
		changed[i] = true
	end
	if changed[i] and #log > 0 then
		save(key, log, 'PX', math.ceil((log[#log-1] + per - now) / 1000) + 60000)
	end
end
return answer
`)

	// ARGV: for each key the moment to give back.
	refundScript = newScript("refund", logPrelude+`
for i, key in ipairs(KEYS) do
	local at, log = tonumber(ARGV[i]), load(key)
	for j = 1, #log, 2 do
		if log[j] == at then
			log[j+1] = log[j+1] - 1
			if log[j+1] == 0 then
				table.remove(log, j+1)
				table.remove(log, j)
			end
			if #log > 0 then save(key, log, 'KEEPTTL') else redis.call('DEL', key) end
			break
		end
	end
end
`)
)

// logPrelude reads and writes a log of spends, see spendLog: the moments and
// their counts in turn, in MessagePack, because taking text apart costs most of
// the script's time. Microseconds since 1970 are far below 2^53, so Lua's
// numbers hold them exactly.
const logPrelude = `
local function load(key)
	local log = redis.call('GET', key)
	return log and cmsgpack.unpack(log) or {}
end
local function save(key, log, ...)
	redis.call('SET', key, cmsgpack.pack(log), ...)
end
`
