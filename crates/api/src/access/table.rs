//! Which permission each route needs: all of them, on one page.
//!
//! A test compares the table with the OpenAPI document, both ways; another walks every role over
//! every route. A route that is missing here answers 403 to everybody. Not here is `/authorize`,
//! where proxies ask: it takes every method and has a door of its own.

use std::collections::HashMap;

use axum::http::Method;
use model::access::Permission::{
    self, AppsDelete, AppsRead, AppsWrite, AuditRead, DeliveriesWrite, EndpointsRead,
    EndpointsWrite, EventTypesRead, EventTypesWrite, KeysRead, KeysVerify, KeysWrite,
    KeyspacesRead, KeyspacesWrite, MembersRead, MembersWrite, MessagesErase, MessagesRead,
    PortalWrite, Publish, SecretsRead, SecretsWrite, TasksRead, UsersRead, UsersWrite, WindowsRead,
    WindowsWrite,
};

use self::Rule::{Anybody, In, On, Open, Within};
use crate::problem::{Code, Problem, Result};

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// No token.
    Open,
    /// A valid token, whatever it may do.
    Anybody,
    /// The permission in the app that the path names as `{app}`, or on the instance.
    In(Permission),
    /// The permission on the instance.
    On(Permission),
    /// The permission on the instance or in some app; the handler shows only what
    /// `Caller::app_scope` permits.
    Within(Permission),
}

/// Method, path below `/api/v1`, rule.
pub type Route = (&'static str, &'static str, Rule);

pub const BASE: &str = "/api/v1";

#[rustfmt::skip]
pub const ROUTES: &[Route] = &[
    ("GET",    "/health",                                         Open),
    ("GET",    "/health/live",                                    Open),
    ("GET",    "/health/ready",                                   Open),
    ("GET",    "/health/detail",                                  Open),

    ("POST",   "/auth/login",                                     Open),
    ("POST",   "/auth/refresh",                                   Open),
    ("GET",    "/auth/oidc/start",                                Open),
    ("GET",    "/auth/oidc/callback",                             Open),
    ("POST",   "/auth/logout",                                    Anybody),
    ("GET",    "/auth/whoami",                                    Anybody),
    ("POST",   "/auth/password",                                  Anybody),
    ("POST",   "/auth/app-portal-access/{app}",                   In(PortalWrite)),
    ("POST",   "/auth/app/{app}/expire-all",                      In(PortalWrite)),

    ("GET",    "/user",                                           On(UsersRead)),
    ("POST",   "/user",                                           On(UsersWrite)),
    ("GET",    "/user/{user}",                                    On(UsersRead)),
    ("PATCH",  "/user/{user}",                                    On(UsersWrite)),
    ("DELETE", "/user/{user}",                                    On(UsersWrite)),
    ("GET",    "/app/{app}/member",                               In(MembersRead)),
    ("POST",   "/app/{app}/member",                               In(MembersWrite)),
    ("GET",    "/app/{app}/member/{user}",                        In(MembersRead)),
    ("PATCH",  "/app/{app}/member/{user}",                        In(MembersWrite)),
    ("DELETE", "/app/{app}/member/{user}",                        In(MembersWrite)),

    ("GET",    "/app",                                            Within(AppsRead)),
    ("POST",   "/app",                                            On(AppsWrite)),
    ("GET",    "/app/{app}",                                      In(AppsRead)),
    ("PUT",    "/app/{app}",                                      In(AppsWrite)),
    ("PATCH",  "/app/{app}",                                      In(AppsWrite)),
    ("DELETE", "/app/{app}",                                      In(AppsDelete)),

    ("GET",    "/app/{app}/breaker",                              In(AppsRead)),
    ("PUT",    "/app/{app}/breaker",                              In(AppsWrite)),

    ("GET",    "/app/{app}/endpoint",                             In(EndpointsRead)),
    ("POST",   "/app/{app}/endpoint",                             In(EndpointsWrite)),
    ("GET",    "/app/{app}/endpoint/{endpoint}",                  In(EndpointsRead)),
    ("PUT",    "/app/{app}/endpoint/{endpoint}",                  In(EndpointsWrite)),
    ("PATCH",  "/app/{app}/endpoint/{endpoint}",                  In(EndpointsWrite)),
    ("DELETE", "/app/{app}/endpoint/{endpoint}",                  In(EndpointsWrite)),
    ("GET",    "/app/{app}/endpoint/{endpoint}/secret",           In(SecretsRead)),
    ("POST",   "/app/{app}/endpoint/{endpoint}/secret/rotate",    In(SecretsWrite)),
    ("POST",   "/app/{app}/endpoint/{endpoint}/secret/revoke",    In(SecretsWrite)),
    ("GET",    "/app/{app}/endpoint/{endpoint}/secret/history",   In(SecretsRead)),
    ("GET",    "/app/{app}/endpoint/{endpoint}/secret/policy",    In(EndpointsRead)),
    ("PUT",    "/app/{app}/endpoint/{endpoint}/secret/policy",    In(SecretsWrite)),
    ("DELETE", "/app/{app}/endpoint/{endpoint}/secret/policy",    In(SecretsWrite)),
    ("GET",    "/app/{app}/endpoint/{endpoint}/secret/check",     In(EndpointsRead)),
    ("POST",   "/app/{app}/endpoint/{endpoint}/secret/check",     In(SecretsWrite)),
    ("GET",    "/app/{app}/endpoint/{endpoint}/secret/jwks",      In(EndpointsRead)),
    ("GET",    "/app/{app}/endpoint/{endpoint}/headers",          In(SecretsRead)),
    ("PUT",    "/app/{app}/endpoint/{endpoint}/headers",          In(EndpointsWrite)),
    ("PATCH",  "/app/{app}/endpoint/{endpoint}/headers",          In(EndpointsWrite)),
    ("GET",    "/app/{app}/endpoint/{endpoint}/stats",            In(EndpointsRead)),
    ("POST",   "/app/{app}/endpoint/{endpoint}/enable",           In(EndpointsWrite)),
    ("POST",   "/app/{app}/endpoint/{endpoint}/disable",          In(EndpointsWrite)),
    ("POST",   "/app/{app}/endpoint/{endpoint}/pause",            In(EndpointsWrite)),
    ("POST",   "/app/{app}/endpoint/{endpoint}/resume",           In(EndpointsWrite)),
    ("GET",    "/app/{app}/endpoint/{endpoint}/breaker",          In(EndpointsRead)),
    ("PUT",    "/app/{app}/endpoint/{endpoint}/breaker",          In(EndpointsWrite)),
    ("DELETE", "/app/{app}/endpoint/{endpoint}/breaker",          In(EndpointsWrite)),
    ("POST",   "/app/{app}/endpoint/{endpoint}/breaker/open",     In(EndpointsWrite)),
    ("POST",   "/app/{app}/endpoint/{endpoint}/breaker/close",    In(EndpointsWrite)),
    ("POST",   "/app/{app}/endpoint/{endpoint}/send-example",     In(DeliveriesWrite)),
    ("POST",   "/app/{app}/endpoint/{endpoint}/recover",          In(DeliveriesWrite)),
    ("POST",   "/app/{app}/endpoint/{endpoint}/replay-missing",   In(DeliveriesWrite)),
    ("POST",   "/app/{app}/endpoint/{endpoint}/bulk-replay",      In(DeliveriesWrite)),
    ("GET",    "/app/{app}/endpoint/{endpoint}/msg",              In(MessagesRead)),

    ("GET",    "/operational-webhook/endpoint",                          On(EndpointsRead)),
    ("POST",   "/operational-webhook/endpoint",                          On(EndpointsWrite)),
    ("GET",    "/operational-webhook/endpoint/{endpoint}",               On(EndpointsRead)),
    ("PUT",    "/operational-webhook/endpoint/{endpoint}",               On(EndpointsWrite)),
    ("PATCH",  "/operational-webhook/endpoint/{endpoint}",               On(EndpointsWrite)),
    ("DELETE", "/operational-webhook/endpoint/{endpoint}",               On(EndpointsWrite)),
    ("GET",    "/operational-webhook/endpoint/{endpoint}/secret",        On(SecretsRead)),
    ("POST",   "/operational-webhook/endpoint/{endpoint}/secret/rotate", On(SecretsWrite)),
    ("GET",    "/operational-webhook/endpoint/{endpoint}/headers",       On(SecretsRead)),
    ("PUT",    "/operational-webhook/endpoint/{endpoint}/headers",       On(EndpointsWrite)),

    ("GET",    "/event-type",                                     Within(EventTypesRead)),
    ("POST",   "/event-type",                                     On(EventTypesWrite)),
    ("GET",    "/event-type/{event_type}",                        Within(EventTypesRead)),
    ("PUT",    "/event-type/{event_type}",                        On(EventTypesWrite)),
    ("PATCH",  "/event-type/{event_type}",                        On(EventTypesWrite)),
    ("DELETE", "/event-type/{event_type}",                        On(EventTypesWrite)),

    ("POST",   "/app/{app}/msg",                                  In(Publish)),
    ("POST",   "/app/{app}/msg/batch",                            In(Publish)),
    ("POST",   "/app/{app}/msg/precheck/active",                  In(Publish)),
    ("GET",    "/app/{app}/msg",                                  In(MessagesRead)),
    ("GET",    "/app/{app}/msg/{msg}",                            In(MessagesRead)),
    ("DELETE", "/app/{app}/msg/{msg}/content",                    In(MessagesErase)),
    ("GET",    "/app/{app}/msg/{msg}/explain",                    In(MessagesRead)),
    ("GET",    "/app/{app}/msg/{msg}/endpoint",                   In(MessagesRead)),
    ("POST",   "/app/{app}/msg/{msg}/endpoint/{endpoint}/resend", In(DeliveriesWrite)),

    ("GET",    "/app/{app}/attempt/endpoint/{endpoint}",          In(MessagesRead)),
    ("GET",    "/app/{app}/attempt/msg/{msg}",                    In(MessagesRead)),
    ("GET",    "/app/{app}/msg/{msg}/attempt/{attempt}",          In(MessagesRead)),
    ("DELETE", "/app/{app}/msg/{msg}/attempt/{attempt}/content",  In(MessagesErase)),

    ("GET",    "/app/{app}/delivery",                             In(MessagesRead)),
    ("GET",    "/app/{app}/delivery/{delivery}",                  In(MessagesRead)),
    ("GET",    "/app/{app}/delivery/{delivery}/explain",          In(MessagesRead)),
    ("POST",   "/app/{app}/delivery/{delivery}/cancel",           In(DeliveriesWrite)),
    ("GET",    "/app/{app}/delivery/{delivery}/chain",            In(MessagesRead)),

    ("GET",    "/app/{app}/replay",                               In(MessagesRead)),
    ("POST",   "/app/{app}/replay",                               In(DeliveriesWrite)),
    ("GET",    "/app/{app}/replay/stats",                         In(MessagesRead)),
    ("GET",    "/app/{app}/replay/{replay}",                      In(MessagesRead)),
    ("POST",   "/app/{app}/replay/{replay}/pause",                In(DeliveriesWrite)),
    ("POST",   "/app/{app}/replay/{replay}/resume",               In(DeliveriesWrite)),
    ("POST",   "/app/{app}/replay/{replay}/cancel",               In(DeliveriesWrite)),

    ("GET",    "/keyspace",                                       Within(KeyspacesRead)),
    ("POST",   "/keyspace",                                       On(KeyspacesWrite)),
    ("GET",    "/keyspace/{keyspace}",                            Within(KeyspacesRead)),
    ("PUT",    "/keyspace/{keyspace}",                            On(KeyspacesWrite)),
    ("PATCH",  "/keyspace/{keyspace}",                            On(KeyspacesWrite)),
    ("DELETE", "/keyspace/{keyspace}",                            On(KeyspacesWrite)),

    ("GET",    "/app/{app}/key",                                  In(KeysRead)),
    ("POST",   "/app/{app}/key",                                  In(KeysWrite)),
    ("POST",   "/app/{app}/key/bulk",                             In(KeysWrite)),
    ("POST",   "/app/{app}/key/import",                           In(KeysWrite)),
    ("GET",    "/app/{app}/key/{key}",                            In(KeysRead)),
    ("PATCH",  "/app/{app}/key/{key}",                            In(KeysWrite)),
    ("DELETE", "/app/{app}/key/{key}",                            In(KeysWrite)),
    ("POST",   "/app/{app}/key/{key}/disable",                    In(KeysWrite)),
    ("POST",   "/app/{app}/key/{key}/enable",                     In(KeysWrite)),
    ("POST",   "/app/{app}/key/{key}/revoke",                     In(KeysWrite)),
    ("POST",   "/app/{app}/key/{key}/rotate",                     In(KeysWrite)),
    ("POST",   "/app/{app}/key/{key}/collect",                    In(KeysWrite)),
    ("GET",    "/app/{app}/key/{key}/secret",                     In(KeysRead)),
    ("POST",   "/app/{app}/key/{key}/secret/end-grace",           In(KeysWrite)),
    ("GET",    "/app/{app}/key/{key}/usage",                      In(KeysRead)),
    ("GET",    "/app/{app}/keyspace/{keyspace}/owner/{owner}",    In(KeysRead)),
    ("PUT",    "/app/{app}/keyspace/{keyspace}/owner/{owner}",    In(KeysWrite)),

    ("POST",   "/key/verify",                                     Within(KeysVerify)),
    ("POST",   "/key/verify-batch",                               Within(KeysVerify)),
    ("POST",   "/key/introspect",                                 Within(KeysVerify)),
    ("POST",   "/key/revoke-self",                                Open),

    ("POST",   "/signature/verify",                               Anybody),
    ("POST",   "/signature/sign",                                 Anybody),

    ("GET",    "/maintenance-window",                             On(WindowsRead)),
    ("POST",   "/maintenance-window",                             On(WindowsWrite)),
    ("POST",   "/maintenance-window/preview",                     On(WindowsRead)),
    ("GET",    "/maintenance-window/{window}",                    On(WindowsRead)),
    ("PUT",    "/maintenance-window/{window}",                    On(WindowsWrite)),
    ("PATCH",  "/maintenance-window/{window}",                    On(WindowsWrite)),
    ("DELETE", "/maintenance-window/{window}",                    On(WindowsWrite)),
    ("POST",   "/maintenance-window/{window}/end",                On(WindowsWrite)),
    ("GET",    "/app/{app}/maintenance-window",                   In(WindowsRead)),
    ("POST",   "/app/{app}/maintenance-window",                   In(WindowsWrite)),
    ("POST",   "/app/{app}/maintenance-window/preview",           In(WindowsRead)),
    ("GET",    "/app/{app}/maintenance-window/{window}",          In(WindowsRead)),
    ("PUT",    "/app/{app}/maintenance-window/{window}",          In(WindowsWrite)),
    ("PATCH",  "/app/{app}/maintenance-window/{window}",          In(WindowsWrite)),
    ("DELETE", "/app/{app}/maintenance-window/{window}",          In(WindowsWrite)),
    ("POST",   "/app/{app}/maintenance-window/{window}/end",      In(WindowsWrite)),

    ("GET",    "/background-task",                                Within(TasksRead)),
    ("GET",    "/background-task/{task}",                         Within(TasksRead)),
    ("POST",   "/background-task/{task}/pause",                   Within(DeliveriesWrite)),
    ("POST",   "/background-task/{task}/resume",                  Within(DeliveriesWrite)),
    ("POST",   "/background-task/{task}/cancel",                  Within(DeliveriesWrite)),

    ("GET",    "/retention",                                      On(AppsRead)),
    ("GET",    "/app/{app}/retention",                            In(AppsRead)),
    ("PUT",    "/app/{app}/retention",                            In(MessagesErase)),
    ("POST",   "/app/{app}/erasure",                              In(MessagesErase)),
    ("POST",   "/app/{app}/msg/expunge-all-contents",             In(MessagesErase)),
    ("GET",    "/housekeeping",                                   On(AppsRead)),
    ("POST",   "/housekeeping/run",                               On(MessagesErase)),

    ("GET",    "/audit-log",                                      Within(AuditRead)),
    ("GET",    "/audit-log/export",                               Within(AuditRead)),
    ("GET",    "/audit-log/verify",                               On(AuditRead)),
];

/// The table as requests look it up.
#[derive(Debug)]
pub(super) struct Table(HashMap<String, Vec<(Method, Rule)>>);

impl Table {
    pub fn new() -> Self {
        let mut paths: HashMap<String, Vec<(Method, Rule)>> = HashMap::new();
        for (method, path, rule) in ROUTES {
            // All of them are plain words.
            let Ok(method) = method.parse() else { continue };
            paths.entry(format!("{BASE}{path}")).or_default().push((method, *rule));
        }
        Self(paths)
    }

    /// # Errors
    /// When the path does not know the method, or is not in the table.
    pub fn rule(&self, method: &Method, path: &str) -> Result<Rule> {
        let Some(rules) = self.0.get(path) else {
            return Err(Problem::new(Code::Forbidden, "Nobody may call this."));
        };
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let found = rules.iter().find(|(known, _)| known == method);
        found.map(|(_, rule)| *rule).ok_or_else(|| {
            Problem::new(Code::MethodNotAllowed, "The path exists, the method does not.")
        })
    }
}
