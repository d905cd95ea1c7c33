// Asks for the state every two seconds while the page is visible, and says why there is none.

import { Refused, signIn } from "./api.js";
import { byId } from "./text.js";

const INTERVAL = 2000;

// `noun` is what answers, `program` is its command. `begin` is called once this browser is signed in.
export async function poll({ noun, program, refresh, begin = () => {} }) {
  const note = (text) => (byId("notice").textContent = text);
  try {
    await signIn();
  } catch (error) {
    byId("link").textContent = "not signed in";
    note(error instanceof Refused ? `This page opens by a link that is good once: ${program} page prints one.` : error.message);
    return;
  }
  begin();
  for (;;) {
    if (!document.hidden) {
      try {
        await refresh();
      } catch (error) {
        const gone = !(error instanceof Refused);
        byId("link").className = "pill bad";
        byId("link").textContent = gone ? `no ${noun} answers` : "not signed in";
        note(gone ? `The ${noun} does not answer; this page goes on as soon as it does.` : `${error.message}: ${program} page prints a new link.`);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
}
