//! The hub itself: revisions, listings, and redirects to the content.

use std::sync::Arc;

use axum::Json;
use axum::extract::{OriginalUri, Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::Server;
use crate::content;
use crate::repositories::{COMMIT, File};

/// Facts about a repository, as the hub's own client reads them.
pub(crate) async fn info(
    State(server): State<Arc<Server>>,
    Path(path): Path<Vec<(String, String)>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    server.log.add("hub", &Method::GET, uri.path(), &headers);
    let files = match open(&server, &path, &headers) {
        Ok(files) => files,
        Err(refusal) => return *refusal,
    };
    let siblings: Vec<Value> = files.iter().map(|file| json!({"rfilename": file.path})).collect();
    let id = format!("{}/{}", value(&path, "owner"), value(&path, "name"));
    Json(json!({"_id": "1", "id": id, "modelId": id, "sha": COMMIT, "private": false, "tags": [], "downloads": 0,
        "likes": 0, "siblings": siblings}))
    .into_response()
}

/// The files of a repository.
pub(crate) async fn tree(
    State(server): State<Arc<Server>>,
    Path(path): Path<Vec<(String, String)>>,
    Query(query): Query<Vec<(String, String)>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    server.log.add("hub", &Method::GET, uri.path(), &headers);
    let files = match open(&server, &path, &headers) {
        Ok(files) => files,
        Err(refusal) => return *refusal,
    };
    let from: usize =
        query.iter().find(|(key, _)| key == "cursor").and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let most = server.switches.number("page").map_or(1000, |most| most as usize);
    let entry = |file: &File| {
        json!({"type": "file", "oid": &file.sha256[..40], "size": file.size, "path": file.path,
            "lfs": {"oid": file.sha256, "size": file.size, "pointerSize": 135}})
    };
    let entries: Vec<Value> = files.iter().skip(from).take(most).map(entry).collect();
    let mut answer = Json(entries).into_response();
    if from + most < files.len() {
        let next = format!("<{}?recursive=true&cursor={}>; rel=\"next\"", uri.path(), from + most);
        answer.headers_mut().extend(next.parse().map(|next| (header::LINK, next)));
    }
    answer
}

/// A file: a redirect to its content, with what the hub states of it.
pub(crate) async fn resolve(
    State(server): State<Arc<Server>>,
    method: Method,
    Path(path): Path<Vec<(String, String)>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    server.log.add("hub", &method, uri.path(), &headers);
    if let Err(refusal) = open(&server, &path, &headers) {
        return *refusal;
    }
    let (owner, name, file) = (value(&path, "owner"), value(&path, "name"), value(&path, "path"));
    let Some(file) = server.repositories.find(owner, name, file) else {
        return refuse(StatusCode::NOT_FOUND, "EntryNotFound");
    };
    let linked = if server.switches.is_on("linked") { "0".repeat(64) } else { file.sha256.clone() };
    let stated = [
        ("x-repo-commit", COMMIT.to_owned()),
        ("x-linked-etag", format!("\"{linked}\"")),
        ("x-linked-size", file.size.to_string()),
        ("accept-ranges", "bytes".to_owned()),
    ];
    let mut answer = if server.switches.is_on("direct") {
        content::body(&server, &file, &headers).await
    } else {
        let place = format!("{}/signed/{owner}/{name}/{}?signature=secret", server.content, file.path);
        (StatusCode::FOUND, [(header::LOCATION, place), (header::ETAG, format!("\"{linked}\""))]).into_response()
    };
    for (name, text) in stated {
        answer.headers_mut().extend(text.parse().map(|text| (header::HeaderName::from_static(name), text)));
    }
    answer
}

/// The files of a repository, unless the switches refuse it.
fn open(server: &Server, path: &[(String, String)], headers: &HeaderMap) -> Result<Vec<File>, Box<Response>> {
    let no = |status, code| Err(Box::new(refuse(status, code)));
    if let Some(seconds) = server.switches.take("busy") {
        let limit = format!("\"api\";r=0;t={seconds}");
        return Err(Box::new((StatusCode::TOO_MANY_REQUESTS, [("ratelimit", limit)]).into_response()));
    }
    if server.switches.is_on("gated") {
        return no(StatusCode::UNAUTHORIZED, "GatedRepo");
    }
    if let Some(token) = server.switches.get("private") {
        let expected = format!("Bearer {}", token.concat());
        if headers.get(header::AUTHORIZATION).is_none_or(|given| *given != *expected) {
            return no(StatusCode::UNAUTHORIZED, "RepoNotFound");
        }
    }
    let Some(files) = server.repositories.files(value(path, "owner"), value(path, "name")) else {
        return no(StatusCode::UNAUTHORIZED, "RepoNotFound");
    };
    let revision = value(path, "revision");
    if !matches!(revision, "" | "main" | COMMIT) {
        return no(StatusCode::NOT_FOUND, "RevisionNotFound");
    }
    Ok(files)
}

fn value<'p>(path: &'p [(String, String)], name: &str) -> &'p str {
    path.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

fn refuse(status: StatusCode, code: &'static str) -> Response {
    (status, [("x-error-code", code), ("x-error-message", "refused")]).into_response()
}
