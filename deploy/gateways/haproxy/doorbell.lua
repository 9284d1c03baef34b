-- Asks Doorbell about the request at hand, for `http-request lua.doorbell URL` in haproxy.cfg.
--
-- Afterwards txn.doorbell_status is the status of the answer (503 when there was none), and each
-- header of the answer is a variable: txn.x_key_id, txn.retry_after, ...

local TIMEOUT_MS = 5000

-- Not passed on: the question has no body and a connection of its own.
local NOT_ASKED = {
    ["connection"] = true, ["content-length"] = true, ["expect"] = true, ["host"] = true,
    ["keep-alive"] = true, ["te"] = true, ["transfer-encoding"] = true, ["upgrade"] = true,
    ["x-forwarded-for"] = true, ["x-forwarded-method"] = true, ["x-forwarded-uri"] = true,
}

local function question(txn)
    local headers = {}
    for name, values in pairs(txn.http:req_get_headers()) do
        if not NOT_ASKED[name] then
            local list = {}
            for _, value in pairs(values) do
                table.insert(list, value)
            end
            headers[name] = list
        end
    end
    -- What HAProxy sees itself, and nothing that the client says.
    headers["x-forwarded-for"] = { txn.f:src() }
    headers["x-forwarded-method"] = { txn.f:method() }
    headers["x-forwarded-uri"] = { txn.f:url() }
    return headers
end

local function doorbell(txn, url)
    txn:set_var("txn.doorbell_status", 503)
    local client = core.httpclient()
    local answer = client:get({ url = url, headers = question(txn), timeout = TIMEOUT_MS })
    if not answer or not answer.status or answer.status == 0 then
        return
    end
    for name, values in pairs(answer.headers or {}) do
        local value = values[0] or values[1]
        if value then
            txn:set_var("txn." .. name:lower():gsub("-", "_"), value)
        end
    end
    txn:set_var("txn.doorbell_status", answer.status)
end

core.register_action("doorbell", { "http-req" }, doorbell, 1)
