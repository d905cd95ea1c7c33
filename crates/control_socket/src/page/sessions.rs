//! Who may use the page: links that are good once, sessions of browsers, and tokens of other programs.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use subtle::ConstantTimeEq;

/// A link is good for this time, and once.
pub(crate) const LINK_TIME: Duration = Duration::from_secs(120);
/// A session ends after so long without a request.
const SESSION_TIME: Duration = Duration::from_secs(12 * 60 * 60);
/// Links, sessions and tokens at once; the oldest are dropped first.
const MOST: usize = 32;

/// A secret of 256 random bits in hexadecimal.
pub(crate) type Secret = String;

/// Links, sessions and tokens.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<Known>);

#[derive(Default)]
struct Known {
    links: VecDeque<(Secret, Instant)>,
    sessions: VecDeque<Session>,
    tokens: VecDeque<Secret>,
}

/// A browser that has used a link.
struct Session {
    cookie: Secret,
    csrf: Secret,
    used: Instant,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}

impl Sessions {
    /// A new link.
    pub(crate) fn new_link(&self, now: Instant) -> std::io::Result<Secret> {
        let link = secret()?;
        push(&mut self.lock().links, (link.clone(), now));
        Ok(link)
    }

    /// Uses up a link; returns the cookie of the session that it opens.
    pub(crate) fn use_link(&self, link: &str, now: Instant) -> Option<Secret> {
        let mut known = self.lock();
        known.links.retain(|(_, made)| now.duration_since(*made) <= LINK_TIME);
        let at = known.links.iter().position(|(known, _)| is_same(known, link))?;
        known.links.remove(at);
        let (cookie, csrf) = (secret().ok()?, secret().ok()?);
        push(&mut known.sessions, Session { cookie: cookie.clone(), csrf, used: now });
        Some(cookie)
    }

    /// The token against forged requests of a session, which goes on from now.
    pub(crate) fn csrf(&self, cookie: &str, now: Instant) -> Option<Secret> {
        let mut known = self.lock();
        known.sessions.retain(|session| now.duration_since(session.used) <= SESSION_TIME);
        let session = known.sessions.iter_mut().find(|session| is_same(&session.cookie, cookie))?;
        session.used = now;
        Some(session.csrf.clone())
    }

    /// A new token, good until the program ends.
    pub(crate) fn new_token(&self) -> std::io::Result<Secret> {
        let token = secret()?;
        push(&mut self.lock().tokens, token.clone());
        Ok(token)
    }

    /// Whether a token is one of these.
    pub(crate) fn is_token(&self, token: &str) -> bool {
        self.lock().tokens.iter().any(|known| is_same(known, token))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // A panic under this lock leaves whole entries.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether two secrets are the same, in a time that does not depend on where they differ.
pub(crate) fn is_same(known: &str, given: &str) -> bool {
    known.as_bytes().ct_eq(given.as_bytes()).into()
}

fn push<T>(list: &mut VecDeque<T>, new: T) {
    if list.len() == MOST {
        list.pop_front();
    }
    list.push_back(new);
}

fn secret() -> std::io::Result<Secret> {
    let bytes = auxot_access::random::<32>().map_err(std::io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_good_once_and_for_a_while() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let link = sessions.new_link(now).unwrap();
        assert_eq!(sessions.use_link(&link[1..], now), None);
        let cookie = sessions.use_link(&link, now).unwrap();
        assert_eq!(sessions.use_link(&link, now), None);
        assert!(sessions.csrf(&cookie, now).is_some_and(|csrf| csrf != cookie));
        let late = sessions.new_link(now).unwrap();
        assert_eq!(sessions.use_link(&late, now + LINK_TIME + Duration::from_secs(1)), None);
    }

    #[test]
    fn a_session_ends_when_it_is_not_used() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let cookie = sessions.use_link(&sessions.new_link(now).unwrap(), now).unwrap();
        let later = now + SESSION_TIME;
        assert!(sessions.csrf(&cookie, later).is_some());
        assert!(sessions.csrf(&cookie, later + SESSION_TIME).is_some());
        assert!(sessions.csrf(&cookie, later + 3 * SESSION_TIME).is_none());
        assert!(sessions.csrf("", now).is_none());
    }

    #[test]
    fn everything_is_bounded() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let first = sessions.new_token().unwrap();
        assert!(sessions.is_token(&first) && !sessions.is_token(""));
        (0..MOST).for_each(|_| _ = sessions.new_token().unwrap());
        assert!(!sessions.is_token(&first));
        let first = sessions.new_link(now).unwrap();
        (0..MOST).for_each(|_| _ = sessions.new_link(now).unwrap());
        assert_eq!(sessions.use_link(&first, now), None);
    }
}
