//! The table of permissions and the OpenAPI document name the same routes.

use std::collections::BTreeSet;

use api::access::{ROUTES, Rule};

use crate::world::operations;

#[test]
fn every_documented_route_is_in_the_table_and_the_reverse() {
    let documented: BTreeSet<(String, String)> =
        operations().into_iter().map(|operation| (operation.method, operation.path)).collect();
    let table: BTreeSet<(String, String)> =
        ROUTES.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(table.len(), ROUTES.len(), "a route is in the table twice");
    let missing: Vec<_> = documented.difference(&table).collect();
    let left_over: Vec<_> = table.difference(&documented).collect();
    assert!(missing.is_empty() && left_over.is_empty(), "{missing:?} {left_over:?}");
}

#[test]
fn open_routes_are_those_that_say_so_and_the_reverse() {
    for operation in operations() {
        let rule = operation.rule();
        let says_open = operation.document["security"] == serde_json::json!([{}]);
        assert_eq!(rule == Rule::Open, says_open, "{} {}", operation.method, operation.path);
    }
}

#[test]
fn a_rule_within_an_app_has_an_app_in_its_path() {
    for (method, path, rule) in ROUTES {
        let has_app = path.contains("{app}");
        match rule {
            Rule::In(_) => assert!(has_app, "{method} {path}"),
            _ => assert!(!has_app, "{method} {path}"),
        }
    }
}
