//! From text to tree, by recursive descent: each rule of the grammar is one function.
//!
//! ```text
//! or      = and { OR and }
//! and     = not { AND not }
//! not     = NOT not | primary
//! primary = "(" or ")" | scope
//! ```

use super::{BadScopeQuery, MAX_DEPTH, MAX_LEN, Node, check_scope, is_scope_byte};

const TOO_LONG: &str = "a query has at most 1000 bytes";
const TOO_DEEP: &str = "a query is nested at most 32 deep";
const NO_OPERAND: &str = "a scope, NOT or `(` is wanted here";
const NO_OPERATOR: &str = "AND, OR or the end is wanted here";
const NOT_CLOSED: &str = "this `(` is not closed";
const NOT_OPENED: &str = "this `)` closes nothing";
const NOT_A_SCOPE: &str = "this is not a scope";
const STRAY: &str = "no scope has this character";

pub(super) fn query(text: &str) -> Result<Node, BadScopeQuery> {
    if text.len() > MAX_LEN {
        return Err(BadScopeQuery { at: MAX_LEN, why: TOO_LONG });
    }
    let mut parser = Parser { text, next: 0, depth: 0 };
    let root = parser.or()?;
    match parser.peek()? {
        Token::End => Ok(root),
        Token::Close => Err(parser.wrong(NOT_OPENED)),
        _ => Err(parser.wrong(NO_OPERATOR)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Open,
    Close,
    And,
    Or,
    Not,
    Word(&'a str),
    End,
}

struct Parser<'a> {
    text: &'a str,
    /// Where the next token begins, after [`Parser::peek`].
    next: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn or(&mut self) -> Result<Node, BadScopeQuery> {
        let first = self.and()?;
        let mut any = vec![first];
        while self.take(Token::Or)? {
            any.push(self.and()?);
        }
        Ok(joined(any, Node::Or))
    }

    fn and(&mut self) -> Result<Node, BadScopeQuery> {
        let first = self.not()?;
        let mut all = vec![first];
        while self.take(Token::And)? {
            all.push(self.not()?);
        }
        Ok(joined(all, Node::And))
    }

    fn not(&mut self) -> Result<Node, BadScopeQuery> {
        if !self.take(Token::Not)? {
            return self.primary();
        }
        self.deeper(|parser| Ok(Node::Not(Box::new(parser.not()?))))
    }

    fn primary(&mut self) -> Result<Node, BadScopeQuery> {
        let token = self.peek()?;
        let at = self.next;
        match token {
            Token::Open => {
                self.next += 1;
                let inner = self.deeper(Self::or)?;
                match self.peek()? {
                    Token::Close => self.next += 1,
                    Token::End => return Err(BadScopeQuery { at, why: NOT_CLOSED }),
                    _ => return Err(self.wrong(NO_OPERATOR)),
                }
                Ok(inner)
            }
            Token::Word(word) => {
                check_scope(word).map_err(|_| BadScopeQuery { at, why: NOT_A_SCOPE })?;
                self.next += word.len();
                Ok(Node::Scope(word.into()))
            }
            _ => Err(self.wrong(NO_OPERAND)),
        }
    }

    fn deeper(
        &mut self,
        rule: impl FnOnce(&mut Self) -> Result<Node, BadScopeQuery>,
    ) -> Result<Node, BadScopeQuery> {
        if self.depth == MAX_DEPTH {
            return Err(self.wrong(TOO_DEEP));
        }
        self.depth += 1;
        let node = rule(self)?;
        self.depth -= 1;
        Ok(node)
    }

    /// Takes the next token if it is this operator.
    fn take(&mut self, operator: Token<'_>) -> Result<bool, BadScopeQuery> {
        if self.peek()? != operator {
            return Ok(false);
        }
        self.next += self.word().len();
        Ok(true)
    }

    /// The next token, which is not taken; blanks before it are.
    fn peek(&mut self) -> Result<Token<'a>, BadScopeQuery> {
        let rest = &self.text[self.next..];
        self.next += rest.len() - rest.trim_ascii_start().len();
        match self.text.as_bytes().get(self.next) {
            None => Ok(Token::End),
            Some(b'(') => Ok(Token::Open),
            Some(b')') => Ok(Token::Close),
            Some(&c) if is_scope_byte(c) => Ok(named(self.word())),
            Some(_) => Err(self.wrong(STRAY)),
        }
    }

    fn word(&self) -> &'a str {
        let rest = &self.text[self.next..];
        let end = rest.bytes().position(|c| !is_scope_byte(c)).unwrap_or(rest.len());
        &rest[..end]
    }

    const fn wrong(&self, why: &'static str) -> BadScopeQuery {
        BadScopeQuery { at: self.next, why }
    }
}

fn named(word: &str) -> Token<'_> {
    match word {
        _ if word.eq_ignore_ascii_case("AND") => Token::And,
        _ if word.eq_ignore_ascii_case("OR") => Token::Or,
        _ if word.eq_ignore_ascii_case("NOT") => Token::Not,
        _ => Token::Word(word),
    }
}

fn joined(mut nodes: Vec<Node>, join: fn(Vec<Node>) -> Node) -> Node {
    match nodes.pop() {
        Some(only) if nodes.is_empty() => only,
        Some(last) => {
            nodes.push(last);
            join(nodes)
        }
        None => join(nodes),
    }
}
