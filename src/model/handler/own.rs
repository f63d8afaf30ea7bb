//! The collections that handlers lie in, as a client would define them: rules are null, so they are superusers' alone.

use crate::limits;

/// Where handlers lie.
pub const HANDLERS: &str = "_handlers";
/// Where lies what a handler gave up.
pub const DEAD_LETTERS: &str = "_deadLetters";

/// Their definitions. What a field's type can't say of a handler, [`super::Handler::read`] sees to.
pub fn definitions() -> [String; 2] {
    let (expression, timeout) = (limits::FILTER_BYTES_MAX, limits::HANDLER_TIMEOUT_SECONDS_MAX);
    let json = limits::HANDLER_JSON_BYTES_MAX;
    [
        format!(
            r#"{{"name":"{HANDLERS}","fields":[
            {{"name":"name","type":"text","required":true,"max":200}},
            {{"name":"kind","type":"select","required":true,"values":["webhook","collection","cache"]}},
            {{"name":"collections","type":"json","required":true,"maxSize":{json}}},
            {{"name":"actions","type":"select","maxSelect":3,"values":["create","update","delete"]}},
            {{"name":"filter","type":"text","max":{expression}}},
            {{"name":"enabled","type":"bool","default":true}},
            {{"name":"url","type":"url"}},
            {{"name":"secret","type":"text","hidden":true,"max":200}},
            {{"name":"headers","type":"json","maxSize":{json}}},
            {{"name":"timeout","type":"number","integer":true,"min":1,"max":{timeout}}},
            {{"name":"target","type":"text","max":64}},
            {{"name":"set","type":"json","maxSize":{json}}},
            {{"name":"key","type":"text","max":{expression}}},
            {{"name":"patterns","type":"json","maxSize":{json}}},
            {{"name":"created","type":"autodate","onCreate":true}},
            {{"name":"updated","type":"autodate","onCreate":true,"onUpdate":true}}]}}"#
        ),
        format!(
            r#"{{"name":"{DEAD_LETTERS}","fields":[
            {{"name":"handler","type":"text","required":true,"max":100}},
            {{"name":"kind","type":"select","required":true,"values":["event","gap"]}},
            {{"name":"position","type":"text","required":true,"max":100}},
            {{"name":"event","type":"json"}},
            {{"name":"error","type":"text","required":true}},
            {{"name":"attempts","type":"number","integer":true}},
            {{"name":"created","type":"autodate","onCreate":true}}],
            "indexes":[{{"name":"by_handler","fields":["handler"]}}]}}"#
        ),
    ]
}
