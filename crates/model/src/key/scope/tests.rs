use proptest::prelude::*;

use super::*;

fn query(text: &str) -> ScopeQuery {
    ScopeQuery::parse(text).unwrap()
}

fn granted(scopes: &[&str]) -> Granted {
    Granted::new(scopes.iter().copied())
}

fn satisfied(text: &str, scopes: &[&str]) -> bool {
    query(text).is_satisfied_by(&granted(scopes))
}

/// What a query says for every choice of `a`, `b` and `c`: `-` for none of them.
fn truth(text: &str) -> Vec<&'static str> {
    let choices = ["-", "a", "b", "ab", "c", "ac", "bc", "abc"];
    let holds = |choice: &&&str| {
        let scopes: Vec<&str> =
            ["a", "b", "c"].into_iter().filter(|s| choice.contains(s)).collect();
        satisfied(text, &scopes)
    };
    choices.iter().filter(holds).copied().collect()
}

#[test]
fn not_binds_before_and_before_or() {
    assert_eq!(truth("a OR b AND c"), ["a", "ab", "ac", "bc", "abc"]);
    assert_eq!(truth("a OR b AND c"), truth("a OR (b AND c)"));
    assert_eq!(truth("(a OR b) AND c"), ["ac", "bc", "abc"]);
    assert_eq!(truth("a AND b OR c"), truth("(a AND b) OR c"));
    assert_eq!(truth("NOT a AND b"), ["b", "bc"]);
    assert_eq!(truth("NOT a AND b"), truth("(NOT a) AND b"));
    assert_eq!(truth("NOT (a AND b)"), ["-", "a", "b", "c", "ac", "bc"]);
    assert_eq!(truth("NOT a OR b"), truth("(NOT a) OR b"));
    assert_eq!(truth("NOT NOT a"), truth("a"));
    assert_eq!(truth("a AND NOT b AND c"), ["ac"]);
    assert_eq!(truth("a OR b OR c").len(), 7);
}

#[test]
fn operators_have_any_case_and_need_no_blanks_beside_parentheses() {
    assert_eq!(truth("a and not b"), truth("a AND NOT b"));
    assert_eq!(truth("a Or b"), truth("a OR b"));
    assert_eq!(truth("(a)AND(b)or(c)"), truth("a AND b OR c"));
    assert_eq!(truth("not(a)"), truth("NOT a"));
    assert_eq!(truth(" \t\n a "), truth("a"));
    // Words that only begin like operators are scopes.
    assert!(satisfied("android", &["android"]));
    assert!(satisfied("orders:read AND nothing", &["orders:read", "nothing"]));
}

#[test]
fn errors_say_where_and_what() {
    for (text, at, why) in [
        ("", 0, "wanted here"),
        ("   ", 3, "wanted here"),
        ("a b", 2, "AND, OR or the end"),
        ("a (b)", 2, "AND, OR or the end"),
        ("a NOT b", 2, "AND, OR or the end"),
        ("a AND", 5, "a scope, NOT or `(`"),
        ("a AND OR b", 6, "a scope, NOT or `(`"),
        ("AND a", 0, "a scope, NOT or `(`"),
        ("NOT", 3, "a scope, NOT or `(`"),
        ("()", 1, "a scope, NOT or `(`"),
        ("a AND (b OR c", 6, "not closed"),
        ("(a b)", 3, "AND, OR or the end"),
        ("a)", 1, "closes nothing"),
        ("a & b", 2, "no scope has this character"),
        ("a AND b\u{a0}", 7, "no scope has this character"),
        ("a AND é", 6, "no scope has this character"),
        ("a OR b*", 5, "not a scope"),
        ("*.a", 0, "not a scope"),
    ] {
        let error = ScopeQuery::parse(text).unwrap_err();
        assert_eq!(error.at, at, "{text:?}: {error}");
        assert!(error.why.contains(why), "{text:?}: {error}");
    }
    let error = ScopeQuery::parse("a b").unwrap_err();
    assert_eq!(error.to_string(), "AND, OR or the end is wanted here, at character 3");
}

#[test]
fn queries_are_only_so_long() {
    let longest = format!("{} AND {}", "a".repeat(128), " ".repeat(MAX_LEN - 128 - 5 - 1)) + "b";
    assert_eq!(longest.len(), MAX_LEN);
    assert!(ScopeQuery::parse(&longest).is_ok());
    let error = ScopeQuery::parse(&format!("{longest}b")).unwrap_err();
    assert_eq!(error.at, MAX_LEN);
    assert!(error.why.contains(&MAX_LEN.to_string()));
}

#[test]
fn queries_are_only_so_deep() {
    let parens = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(ScopeQuery::parse(&parens(MAX_DEPTH)).is_ok());
    let error = ScopeQuery::parse(&parens(MAX_DEPTH + 1)).unwrap_err();
    assert_eq!(error.at, MAX_DEPTH + 1);
    assert!(error.why.contains(&MAX_DEPTH.to_string()));
    let nots = |depth: usize| "NOT ".repeat(depth) + "a";
    assert!(ScopeQuery::parse(&nots(MAX_DEPTH)).is_ok());
    assert!(ScopeQuery::parse(&nots(MAX_DEPTH + 1)).is_err());
    // Beside each other they are not deep.
    let wide = ["(a)"; 100].join(" OR ");
    assert!(ScopeQuery::parse(&wide).is_ok());
}

#[test]
fn granted_scopes_have_a_grammar() {
    for good in ["read:contacts", "docs.*", "read:*", "*", "a/b-c_d.E9", "docs.a.*", "and.x"] {
        assert_eq!(check_scope(good), Ok(()), "{good}");
    }
    for (bad, why) in [
        ("", BadScope::Length),
        (&*"a".repeat(129), BadScope::Length),
        ("a b", BadScope::Alphabet),
        ("é", BadScope::Alphabet),
        ("a\0", BadScope::Alphabet),
        ("docs*", BadScope::Wildcard),
        ("docs/*", BadScope::Wildcard),
        (".*", BadScope::Wildcard),
        ("*.a", BadScope::Wildcard),
        ("a.*.b", BadScope::Wildcard),
        ("a.*.*", BadScope::Wildcard),
        ("**", BadScope::Wildcard),
        ("and", BadScope::Reserved),
        ("NOT", BadScope::Reserved),
    ] {
        assert_eq!(check_scope(bad), Err(why), "{bad}");
    }
    assert!(granted(&["a b", "docs*", ""]).is_empty());
}

#[test]
fn wildcards_grant_what_is_below_them() {
    for (scope, yes, no) in [
        ("docs.*", vec!["docs.read", "docs.a.b"], vec!["docs", "docs.", "docs:read", "docsx.a"]),
        ("read:*", vec!["read:x", "read:x.y"], vec!["read", "reader:x", "write:x"]),
        ("*", vec!["anything", "a.b:c"], vec![]),
        ("docs.read", vec!["docs.read"], vec!["docs.reader", "docs.rea", "docs"]),
    ] {
        let granted = granted(&[scope]);
        for asked in yes {
            assert!(granted.has(asked), "{scope} grants {asked}");
        }
        for asked in no {
            assert!(!granted.has(asked), "{scope} does not grant {asked}");
        }
    }
}

#[test]
fn a_wildcard_in_a_query_asks_for_any_scope_below() {
    for scope in ["docs.read", "docs.a.b", "docs.*", "docs.a.*", "*"] {
        assert!(satisfied("docs.*", &["aaa", scope, "zzz"]), "{scope}");
    }
    for scope in ["docs", "docs:read", "docsx.a", "doc.*", "read:*"] {
        assert!(!satisfied("docs.*", &["aaa", scope, "zzz"]), "{scope}");
    }
    assert!(satisfied("docs.a.*", &["docs.*"]));
    assert!(satisfied("*", &["docs.read"]));
    assert!(satisfied("*", &["docs.*"]));
    assert!(!satisfied("*", &[]));
    assert!(satisfied("NOT *", &[]));
}

#[test]
fn the_set_can_be_read_back() {
    let set = granted(&["b", "docs.*", "a", "docs.a.*", "a", "*"]);
    assert_eq!(set.texts(), ["*", "a", "b", "docs.*"]);
    assert_eq!(Granted::new(set.texts().iter().map(String::as_str)), set);
    assert_eq!(format!("{set:?}"), r#"{"*", "a", "b", "docs.*"}"#);
}

#[test]
fn an_explanation_names_what_is_missing() {
    let explain = |text: &str, scopes: &[&str]| query(text).explain(&granted(scopes));
    let satisfied = explain("a OR b", &["b"]);
    assert!(satisfied.satisfied && satisfied.missing.is_empty());
    assert_eq!(satisfied.text, "the scopes satisfy `a OR b`");
    assert_eq!(explain("a AND b AND c", &["b"]).missing, ["a", "c"]);
    assert_eq!(explain("a AND b OR c", &[]).missing, ["c"]);
    assert_eq!(explain("a AND a AND (a OR b)", &[]).missing, ["a"]);
    assert_eq!(explain("docs.* AND a", &["a"]).missing, ["docs.*"]);
    assert_eq!(explain("NOT (NOT a OR NOT b)", &["a"]).missing, ["b"]);
    let short = explain("a AND b", &["a"]);
    assert_eq!(short.text, "`a AND b` is asked; missing: `b`");
    let excess = explain("a AND NOT b", &["a", "b"]);
    assert!(!excess.satisfied && excess.missing.is_empty());
    assert_eq!(excess.text, "`a AND NOT b` is asked; too much: `b`");
    let both = explain("a AND NOT b", &["b"]);
    assert_eq!(both.missing, ["a"]);
    assert!(both.text.ends_with("missing: `a`; too much: `b`"), "{}", both.text);
    // What more scopes can close comes before what only fewer can.
    assert_eq!(explain("NOT b OR a AND c", &["b"]).missing, ["a", "c"]);
}

#[test]
fn queries_are_written_as_they_were_read() {
    let json = r#""a AND (docs.* or not b)""#;
    let query: ScopeQuery = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&query).unwrap(), json);
    assert_eq!(query.to_string().parse(), Ok(query));
    let error = serde_json::from_str::<ScopeQuery>(r#""a b""#).unwrap_err().to_string();
    assert!(error.contains("at character 3"), "{error}");
}

/// Scopes that often share their beginnings.
fn scope() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "ab", "b", "-", "x"]);
    let name = prop::collection::vec((segment, prop::sample::select(vec![".", ":"])), 1..4);
    (name, any::<bool>()).prop_map(|(name, is_wildcard)| {
        let text: String = name.iter().flat_map(|(segment, joint)| [*segment, *joint]).collect();
        if is_wildcard { text + "*" } else { text.trim_end_matches(['.', ':']).to_owned() }
    })
}

fn plain_scope() -> impl Strategy<Value = String> {
    scope().prop_map(|scope| scope.trim_end_matches(['.', ':', '*']).to_owned())
}

/// The meaning of wildcards, written as naively as possible.
fn grants(scope: &str, asked: &str) -> bool {
    let below = |branch: &str, text: &str| text.len() > branch.len() && text.starts_with(branch);
    match (scope.strip_suffix('*'), asked.strip_suffix('*')) {
        (None, None) => scope == asked,
        (Some(branch), None) => below(branch, asked),
        (None, Some(branch)) => below(branch, scope),
        (Some(one), Some(other)) => one.starts_with(other) || other.starts_with(one),
    }
}

#[derive(Clone, Debug)]
enum Tree {
    Scope(String),
    Not(Box<Tree>),
    Both(Box<Tree>, Box<Tree>),
    Either(Box<Tree>, Box<Tree>),
}

impl Tree {
    fn text(&self) -> String {
        match self {
            Self::Scope(scope) => scope.clone(),
            Self::Not(tree) => format!("NOT ({})", tree.text()),
            Self::Both(one, other) => format!("({}) AND ({})", one.text(), other.text()),
            Self::Either(one, other) => format!("({}) OR ({})", one.text(), other.text()),
        }
    }

    fn holds(&self, has: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Scope(scope) => has(scope),
            Self::Not(tree) => !tree.holds(has),
            Self::Both(one, other) => one.holds(has) && other.holds(has),
            Self::Either(one, other) => one.holds(has) || other.holds(has),
        }
    }
}

fn tree(with_not: bool) -> impl Strategy<Value = Tree> {
    scope().prop_map(Tree::Scope).prop_recursive(4, 16, 2, move |inner| {
        let pair = (inner.clone(), inner.clone());
        let both = pair.clone().prop_map(|(a, b)| Tree::Both(a.into(), b.into()));
        let either = pair.prop_map(|(a, b)| Tree::Either(a.into(), b.into()));
        let not = inner.prop_map(move |tree| if with_not { Tree::Not(tree.into()) } else { tree });
        prop_oneof![both, either, not]
    })
}

proptest! {
    #[test]
    fn the_compiled_set_answers_as_its_scopes_do(
        scopes in prop::collection::vec(scope(), 0..12),
        asked in scope(),
    ) {
        let set = Granted::new(scopes.iter().map(String::as_str));
        let expected = scopes.iter().any(|scope| grants(scope, &asked));
        prop_assert_eq!(set.has(&asked), expected);
    }

    #[test]
    fn one_more_scope_never_takes_one_away(
        scopes in prop::collection::vec(scope(), 0..8),
        more in scope(),
        asked in scope(),
    ) {
        let fewer = Granted::new(scopes.iter().map(String::as_str));
        let all = Granted::new(scopes.iter().chain([&more]).map(String::as_str));
        prop_assert!(!fewer.has(&asked) || all.has(&asked));
        prop_assert!(all.has(&more));
    }

    #[test]
    fn everything_below_a_wildcard_is_granted(above in plain_scope(), below in plain_scope()) {
        let set = Granted::new([format!("{above}.*").as_str()]);
        let expected = format!("{above}.{below}");
        prop_assert!(set.has(&expected));
        prop_assert!(!set.has(&above));
    }

    #[test]
    fn queries_mean_what_their_tree_means(
        tree in tree(true),
        scopes in prop::collection::vec(scope(), 0..8),
    ) {
        let text = tree.text();
        prop_assume!(text.len() <= MAX_LEN);
        let query = ScopeQuery::parse(&text).unwrap();
        let set = Granted::new(scopes.iter().map(String::as_str));
        prop_assert_eq!(query.is_satisfied_by(&set), tree.holds(&|scope| set.has(scope)));
        prop_assert_eq!(query.explain(&set).satisfied, query.is_satisfied_by(&set));
    }

    #[test]
    fn granting_what_is_missing_satisfies(
        tree in tree(false),
        scopes in prop::collection::vec(scope(), 0..4),
    ) {
        let text = tree.text();
        prop_assume!(text.len() <= MAX_LEN);
        let query = ScopeQuery::parse(&text).unwrap();
        let set = Granted::new(scopes.iter().map(String::as_str));
        let missing = query.explain(&set).missing;
        prop_assert_eq!(missing.is_empty(), query.is_satisfied_by(&set));
        let more = Granted::new(scopes.iter().chain(&missing).map(String::as_str));
        prop_assert!(query.is_satisfied_by(&more));
    }

    #[test]
    fn no_text_is_too_strange(text in "[a-cANDORT ()*.:&é]{0,60}") {
        if let Err(error) = ScopeQuery::parse(&text) {
            prop_assert!(text.is_char_boundary(error.at), "{}", error);
        }
    }
}
