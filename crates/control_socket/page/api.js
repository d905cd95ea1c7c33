// Requests to the program of this page. Those that change something carry the token of this session.

let csrf = "";

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function failure(answer) {
  const text = await answer.text();
  try {
    return new Refused(answer.status, JSON.parse(text).error);
  } catch {
    return new Refused(answer.status, text || `the answer is ${answer.status}`);
  }
}

export async function signIn() {
  csrf = (await read("session")).csrf;
}

export async function read(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  if (!answer.ok) throw await failure(answer);
  return answer.json();
}

export async function send(path, body, signal) {
  const headers = { "x-csrf-token": csrf };
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await fetch(path, { method: "POST", headers, body: body && JSON.stringify(body), signal });
  if (!answer.ok) throw await failure(answer);
  return answer;
}
