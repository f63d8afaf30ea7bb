//! The collections that jobs and their runs lie in, as a client would define them: rules are null, so they are superusers'
//! alone.

use crate::limits;

/// Where jobs lie.
pub const JOBS: &str = "_jobs";
/// Where their runs lie; they go with their job. Only the server makes and changes them; who may see them may delete one that has ended.
pub const RUNS: &str = "_runs";
/// The unique index of `_runs` over `active`: a job has one run at once, whoever begins it.
pub const ACTIVE: &str = "active";

/// Their definitions. What a field's type can't say of a job, [`super::Job::read`] sees to.
pub fn definitions() -> [String; 2] {
    let (json, chunk, parallel) = (limits::HANDLER_JSON_BYTES_MAX, limits::JOB_CHUNK_MAX, limits::JOB_PARALLEL_MAX);
    let (timeout, keep) = (limits::JOB_TIMEOUT_SECONDS_MAX, limits::JOB_KEEP_MAX);
    [
        format!(
            r#"{{"name":"{JOBS}","fields":[
            {{"name":"name","type":"text","required":true,"max":100,"pattern":"^[A-Za-z0-9][A-Za-z0-9_.-]*$"}},
            {{"name":"schedule","type":"text","max":200}},
            {{"name":"timeZone","type":"text","max":64}},
            {{"name":"source","type":"json","required":true,"maxSize":{json}}},
            {{"name":"task","type":"json","required":true,"maxSize":{json}}},
            {{"name":"chunk","type":"number","integer":true,"min":1,"max":{chunk}}},
            {{"name":"parallel","type":"number","integer":true,"min":1,"max":{parallel}}},
            {{"name":"stopOnError","type":"bool"}},
            {{"name":"store","type":"json","maxSize":{json}}},
            {{"name":"notify","type":"json","maxSize":{json}}},
            {{"name":"secret","type":"text","hidden":true,"max":200}},
            {{"name":"timeout","type":"number","integer":true,"min":1,"max":{timeout}}},
            {{"name":"keep","type":"number","integer":true,"min":1,"max":{keep}}},
            {{"name":"enabled","type":"bool","default":true}},
            {{"name":"scheduled","type":"date"}},
            {{"name":"created","type":"autodate","onCreate":true}}],
            "indexes":[{{"name":"name","fields":["name"],"unique":true}}]}}"#
        ),
        format!(
            r#"{{"name":"{RUNS}","fields":[
            {{"name":"job","type":"relation","collection":"{JOBS}","required":true,"onDelete":"cascade"}},
            {{"name":"name","type":"text","required":true,"max":100}},
            {{"name":"{ACTIVE}","type":"text","max":100}},
            {{"name":"slot","type":"date"}},
            {{"name":"state","type":"select","required":true,"values":["queued","running","done","failed","cancelled"]}},
            {{"name":"total","type":"number","integer":true}},
            {{"name":"done","type":"number","integer":true}},
            {{"name":"failed","type":"number","integer":true}},
            {{"name":"chunks","type":"number","integer":true}},
            {{"name":"through","type":"text","max":100}},
            {{"name":"open","type":"json"}},
            {{"name":"faults","type":"json"}},
            {{"name":"result","type":"json"}},
            {{"name":"error","type":"text","max":5000}},
            {{"name":"notified","type":"select","values":["pending","sent","failed"]}},
            {{"name":"started","type":"date"}},
            {{"name":"finished","type":"date"}},
            {{"name":"created","type":"autodate","onCreate":true}}],
            "indexes":[{{"name":"{ACTIVE}","fields":["{ACTIVE}"],"unique":true}},
            {{"name":"by_job","fields":["job","created"]}}]}}"#
        ),
    ]
}
