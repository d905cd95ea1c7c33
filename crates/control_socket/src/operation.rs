//! One operation of a control socket: its route, and what describes it.

use axum::Router;
use axum::routing::MethodRouter;
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Makes the schema of a message.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One operation, with routes over the state `S`.
#[derive(Debug)]
pub struct Operation<S> {
    /// Its method, in lower case.
    pub method: &'static str,
    /// Its path, with its parameters in braces.
    pub path: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// Its parameters.
    pub parameters: &'static [Parameter],
    /// The message that it takes.
    pub request: Option<SchemaOf>,
    /// Its answer.
    pub answer: Answer,
    /// The statuses of its failures.
    pub failures: &'static [u16],
    /// Makes its route.
    pub route: fn() -> MethodRouter<S>,
}

/// The answer to an operation that was carried out.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// One message.
    Message(SchemaOf),
    /// A stream of server-sent events with such data.
    Stream(SchemaOf),
}

/// A parameter beside the body.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Where it is.
    pub place: Place,
    /// What it means.
    pub about: &'static str,
    /// Its type in JSON.
    pub kind: &'static str,
}

/// Where a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the path; required.
    Path,
    /// In the query; optional.
    Query,
    /// A header; optional.
    Header,
}

impl<S> Operation<S> {
    /// An operation that reads a message.
    #[must_use]
    pub const fn reads(
        path: &'static str,
        summary: &'static str,
        answer: SchemaOf,
        route: fn() -> MethodRouter<S>,
    ) -> Self {
        let (parameters, failures) = (&[], &[]);
        let answer = Answer::Message(answer);
        Self { method: "get", path, summary, parameters, request: None, answer, failures, route }
    }

    /// A command that takes no message.
    #[must_use]
    pub const fn commands(
        path: &'static str,
        summary: &'static str,
        answer: SchemaOf,
        route: fn() -> MethodRouter<S>,
    ) -> Self {
        Self { method: "post", ..Self::reads(path, summary, answer, route) }
    }
}

/// The schema of a message.
pub fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The routes of operations.
pub fn routes<S: Clone + Send + Sync + 'static>(operations: &[Operation<S>]) -> Router<S> {
    operations.iter().fold(Router::new(), |router, operation| router.route(operation.path, (operation.route)()))
}
