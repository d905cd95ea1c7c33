//! The rules of the ledger, each kept and broken.

use serde_json::json;

use super::*;

const TEXT: &str = "a0 a1 a2 a3 ";

/// A received message: the link, its worker, and the text; `END` for the end, `ERR` for an error.
type Message<'a> = (usize, usize, &'a str);

/// A job with these received messages.
fn received(messages: &[Message<'_>]) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.enter("a", json!({}), TEXT);
    let mut links: Vec<(usize, usize)> = messages.iter().map(|(link, worker, _)| (*link, *worker)).collect();
    links.dedup();
    for (link, worker) in links {
        ledger.given("a", link, worker);
    }
    for (link, worker, words) in messages {
        let frame = match *words {
            "END" => json!({"type": "complete", "job_id": "a", "full_response": TEXT}),
            "ERR" => json!({"type": "error", "job_id": "a", "error": "no"}),
            words => json!({"type": "token", "job_id": "a", "token": words}),
        };
        ledger.take(*link, *worker, &frame);
    }
    ledger
}

fn fault(messages: &[Message<'_>]) -> String {
    received(messages).faults().join("; ")
}

#[test]
fn an_answer_over_one_link_or_several_is_in_order() {
    assert_eq!(fault(&[(1, 0, "a0 a1 "), (1, 0, "a2 a3 "), (1, 0, "END")]), "");
    assert_eq!(fault(&[(1, 0, "a0 a1 "), (2, 0, "a2 a3 "), (2, 0, "END")]), "");
    assert_eq!(
        fault(&[(1, 0, "a0 "), (2, 0, "a3 "), (2, 0, "END")]),
        "",
        "what was not read of a lost link is missing"
    );
    assert_eq!(fault(&[(1, 0, "a0 a1 "), (2, 1, "a0 a1 a2 a3 "), (2, 1, "END")]), "", "another worker begins anew");
    assert_eq!(fault(&[(1, 0, "a0 "), (1, 0, "ERR")]), "");
}

#[test]
fn broken_rules_are_reported() {
    let broken: [(&str, &[Message<'_>]); 8] = [
        ("2 endings", &[(1, 0, TEXT), (1, 0, "END"), (1, 0, "END")]),
        ("2 endings", &[(1, 0, TEXT), (1, 0, "END"), (2, 0, "ERR")]),
        ("text after the end", &[(1, 0, TEXT), (1, 0, "END"), (1, 0, "a0 ")]),
        ("text twice", &[(1, 0, "a0 a1 "), (2, 0, "a1 a2 a3 "), (2, 0, "END")]),
        ("text twice", &[(1, 0, "a0 a1 "), (2, 0, "a0 a1 a2 a3 "), (2, 0, "END")]),
        ("text that is not its beginning", &[(1, 0, "a1 a2 a3 "), (1, 0, "END")]),
        ("text of something else", &[(1, 0, "a0 "), (2, 0, "b1 "), (2, 0, "ERR")]),
        ("an end with text missing", &[(1, 0, "a0 a1 "), (1, 0, "END")]),
    ];
    for (words, messages) in broken {
        assert!(fault(messages).contains(words), "{words}: {:?}", fault(messages));
    }
    let mut ledger = received(&[(1, 0, TEXT)]);
    ledger.take(1, 0, &json!({"type": "token", "job_id": "b", "token": "b0 "}));
    assert!(ledger.faults().join("; ").contains("a message about no job"));
    ledger.take(1, 0, &json!({"type": "complete", "job_id": "a", "full_response": "a0 "}));
    assert!(ledger.faults().join("; ").contains("not its text"));
}

#[test]
fn a_job_that_is_given_again_ends_again_and_one_that_may_begin_anew_is_counted() {
    let mut ledger = received(&[(1, 0, TEXT), (1, 0, "END")]);
    ledger.job("a").give_again();
    assert!(ledger.job("a").is_open());
    ledger.take(1, 0, &json!({"type": "token", "job_id": "a", "token": TEXT}));
    ledger.take(1, 0, &json!({"type": "complete", "job_id": "a", "full_response": TEXT}));
    assert!(ledger.faults().is_empty());
    let mut ledger = received(&[(1, 0, "a0 a1 "), (2, 0, "a0 a1 a2 a3 "), (2, 0, "END")]);
    ledger.allow_reruns();
    assert!(ledger.faults().is_empty());
    let ended = ledger.take_ended();
    assert_eq!((ended.len(), ended[0].times_sent()), (1, 2));
}
