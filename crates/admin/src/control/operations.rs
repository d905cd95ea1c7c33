//! Every operation of the control socket: its route, and what describes it. The router and the OpenAPI document are made from
//! this table, so that neither has an operation that the other lacks.

use auxot_control_socket::{Answer, Parameter, Place, SchemaOf, page_link, page_token, schema};
use axum::routing::{MethodRouter, get, post, put};

use super::api::{
    Accepted, ChatEvent, ChatRequest, Devices, Draining, EngineRuns, Event, Events, Jobs, LogLevel, LogLine, LogLines,
    ModelDetails, Models, PageLink, PageToken, Reloaded, Status,
};
use super::handlers as on;
use super::handlers::ControlState;

/// An operation of this socket.
type Operation = auxot_control_socket::Operation<ControlState>;

const MODEL: Parameter =
    Parameter { name: "model", place: Place::Path, about: "Any name of the model", kind: "string" };
const LINES: Parameter = Parameter {
    name: "lines",
    place: Place::Query,
    about: "The most kept lines; all where it is absent",
    kind: "integer",
};
const LAST_EVENT: Parameter = Parameter {
    name: "Last-Event-ID",
    place: Place::Header,
    about: "The last event that the client had: the stream goes on after it",
    kind: "integer",
};

/// An operation that reads a message.
const fn reads(
    path: &'static str,
    summary: &'static str,
    answer: SchemaOf,
    route: fn() -> MethodRouter<ControlState>,
) -> Operation {
    Operation::reads(path, summary, answer, route)
}

/// A command for one model.
const fn steers(path: &'static str, summary: &'static str, route: fn() -> MethodRouter<ControlState>) -> Operation {
    let commands = Operation::commands(path, summary, schema::<Accepted>, route);
    Operation { parameters: &[MODEL], failures: &[404, 409], ..commands }
}

/// All operations that the page has too.
pub(crate) const OPERATIONS: &[Operation] = &[
    reads("/v1/status", "The worker, its router, devices and models", schema::<Status>, || get(on::status)),
    reads("/v1/devices", "The devices and their memory", schema::<Devices>, || get(on::devices)),
    reads("/v1/models", "The models and their state", schema::<Models>, || get(on::models)),
    Operation {
        parameters: &[MODEL],
        failures: &[404],
        ..reads("/v1/models/{model}", "A model and its history", schema::<ModelDetails>, || get(on::model))
    },
    steers("/v1/models/{model}/load", "Load a model; a failed one is tried again", || post(on::load)),
    steers("/v1/models/{model}/unload", "Unload a model; its jobs may finish", || post(on::unload)),
    steers("/v1/models/{model}/pin", "Never evict a model, until the worker ends", || post(on::pin)),
    steers("/v1/models/{model}/unpin", "Let a model be evicted, until the worker ends", || post(on::unpin)),
    steers("/v1/models/{model}/reset", "Try a failed model again", || post(on::reset)),
    Operation {
        parameters: &[],
        failures: &[],
        ..steers("/v1/reset", "Try all failed models again", || post(on::reset_failed))
    },
    Operation {
        parameters: &[MODEL, LINES],
        failures: &[400, 404],
        ..reads("/v1/models/{model}/log", "The newest lines of a model's engines", schema::<LogLines>, || get(on::log))
    },
    Operation {
        parameters: &[MODEL, LINES, LAST_EVENT],
        answer: Answer::Stream(schema::<LogLine>),
        failures: &[400, 404, 503],
        ..reads("/v1/models/{model}/log/stream", "The same, and the lines to come", schema::<LogLine>, || {
            get(on::log_stream)
        })
    },
    Operation {
        request: Some(schema::<ChatRequest>),
        answer: Answer::Stream(schema::<ChatEvent>),
        failures: &[400, 404, 413, 415, 422, 503],
        ..steers("/v1/models/{model}/chat", "One answer of a model, part by part", || post(on::chat))
    },
    reads("/v1/engines", "The processes of engines, with those that have ended", schema::<EngineRuns>, || {
        get(on::engines)
    }),
    reads("/v1/jobs", "The jobs that run, and the newest that have ended", schema::<Jobs>, || get(on::jobs)),
    reads("/v1/events", "The newest events", schema::<Events>, || get(on::events)),
    Operation {
        parameters: &[LAST_EVENT],
        answer: Answer::Stream(schema::<Event>),
        failures: &[503],
        ..reads("/v1/events/stream", "The same, and the events to come", schema::<Event>, || get(on::event_stream))
    },
    Operation {
        parameters: &[],
        answer: Answer::Message(schema::<Draining>),
        failures: &[],
        ..steers("/v1/drain", "Finish the jobs and end, as after SIGTERM", || post(on::drain))
    },
    Operation {
        parameters: &[],
        answer: Answer::Message(schema::<Reloaded>),
        failures: &[422],
        ..steers("/v1/reload", "Read the settings again, as after SIGHUP", || post(on::reload))
    },
    reads("/v1/log-level", "How much is logged", schema::<LogLevel>, || get(on::log_level)),
    Operation {
        method: "put",
        request: Some(schema::<LogLevel>),
        failures: &[400, 413, 415, 422],
        ..reads("/v1/log-level", "Change how much is logged, until the worker ends", schema::<LogLevel>, || {
            put(on::set_log_level)
        })
    },
];

/// Operations that give access to others: the page does not have them.
pub(crate) const SOCKET_OPERATIONS: &[Operation] = &[
    Operation {
        parameters: &[],
        answer: Answer::Message(schema::<PageLink>),
        failures: &[503],
        ..steers("/v1/page", "A link that opens the page in a browser of this host, once", || post(page_link))
    },
    Operation {
        parameters: &[],
        answer: Answer::Message(schema::<PageToken>),
        failures: &[503],
        ..steers("/v1/token", "A token for programs that use the page's address", || post(page_token))
    },
];
