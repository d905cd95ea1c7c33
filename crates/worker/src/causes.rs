//! Errors as one line.

use std::error::Error;

/// An error with its causes, each once: many errors contain the text of their cause.
pub(crate) fn with_causes(fault: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(fault), |&fault| fault.source());
    chain.map(ToString::to_string).fold(String::new(), |text, cause| match () {
        () if text.contains(&cause) => text,
        () if text.is_empty() => cause,
        () => format!("{text}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_printed_once() {
        let bare = || std::io::Error::other("no such thing");
        let fault = anyhow::Error::from(auxot_engine::HostError::System(bare())).context("cannot open the host");
        assert_eq!(with_causes(fault.as_ref()), "cannot open the host: cannot prepare to start engines: no such thing");
        assert_eq!(with_causes(anyhow::Error::from(bare()).as_ref()), "no such thing");
    }
}
