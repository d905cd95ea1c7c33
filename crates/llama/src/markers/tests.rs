use proptest::prelude::*;

use super::*;

/// Runs the pieces through and merges what belongs together; ids are random, so they are left out.
fn run(tools: &str, parts: &[&str]) -> Vec<(&'static str, String)> {
    let tools = RawValue::from_string(tools.to_owned()).unwrap();
    let mut markers = Markers::new(Some(&tools));
    let mut pieces = Vec::new();
    for part in parts {
        pieces.extend(markers.feed(part));
    }
    pieces.extend(markers.finish());
    let mut merged: Vec<(&'static str, String)> = Vec::new();
    for piece in pieces {
        let (kind, text) = match piece {
            Piece::Visible(text) => ("text", text),
            Piece::Reasoning(text) => ("think", text),
            Piece::Call(call) => {
                assert!(call.id.starts_with("xml_") && call.kind == "function");
                ("call", format!("{} {}", call.name, call.arguments))
            }
        };
        assert!(!text.is_empty());
        match merged.last_mut() {
            Some((last, whole)) if *last == kind && kind != "call" => whole.push_str(&text),
            _ => merged.push((kind, text)),
        }
    }
    merged
}

fn owned(want: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    want.iter().map(|(kind, text)| (*kind, (*text).to_owned())).collect()
}

const TOOLS: &str = r#"[{"type":"function","function":{"name":"get","parameters":{"type":"object","properties":{
    "n":{"type":"integer"},"s":{"type":["null","string"]},"b":{"type":"boolean"},"l":{"type":"array"}}}}}]"#;

/// Each text with what must come out of it, however it is cut.
const TABLE: &[(&str, &[(&str, &str)])] = &[
    ("plain text", &[("text", "plain text")]),
    ("<think>caf\u{e9}\n</think>Answer", &[("think", "caf\u{e9}\n"), ("text", "Answer")]),
    ("a</think>b<think>c", &[("text", "ab"), ("think", "c")]),
    ("1 < 2 <thin <<think>x</thinker></think>", &[("text", "1 < 2 <thin <"), ("think", "x</thinker>")]),
    ("ends with <tool_cal", &[("text", "ends with <tool_cal")]),
    (
        "Look:<tool_call>\n<function=get>\n<parameter=n>\n10\n</parameter>\n<parameter=s>10</parameter><parameter=b>True</parameter>\n\
         <parameter=l>[1, 2]</parameter><parameter=x>a\nb</parameter><parameter=y>{\"k\":1}</parameter><parameter=z>7</parameter>\n\
         </function>\n</tool_call> done",
        &[
            ("text", "Look:"),
            ("call", r#"get {"n":10,"s":"10","b":true,"l":[1,2],"x":"a\nb","y":{"k":1},"z":"7"}"#),
            ("text", " done"),
        ],
    ),
    (
        "<think>hm<tool_call><function=f></function></tool_call>more",
        &[("think", "hm"), ("call", "f {}"), ("think", "more")],
    ),
    ("<tool_call><function=f></function><function=g></function></tool_call>", &[("call", "f {}"), ("call", "g {}")]),
    ("<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}</tool_call>", &[("call", "f {\"a\":1}")]),
    ("<tool_call>{\"name\": \"f\", \"arguments\": \"\"}</tool_call>", &[("call", "f {}")]),
    ("<tool_call>not one</tool_call>!", &[("text", "<tool_call>not one</tool_call>!")]),
    ("<tool_call></tool_call>", &[("text", "<tool_call></tool_call>")]),
    (
        "<tool_call><function=a b></function></tool_call>",
        &[("text", "<tool_call><function=a b></function></tool_call>")],
    ),
    ("<tool_call><function=f><parameter=a>1", &[("text", "<tool_call><function=f><parameter=a>1")]),
    ("<tool_call><function=f><parameter=a>1</parameter></function>", &[("call", "f {\"a\":\"1\"}")]),
    ("<tool_call>{\"name\":\"f\"}", &[("call", "f {}")]),
];

#[test]
fn every_row_comes_out_the_same_cut_at_every_byte() {
    for (text, want) in TABLE {
        assert_eq!(run(TOOLS, &[text]), owned(want), "{text}");
        for cut in (0..=text.len()).filter(|cut| text.is_char_boundary(*cut)) {
            assert_eq!(run(TOOLS, &[&text[..cut], &text[cut..]]), owned(want), "{text} cut at {cut}");
        }
        let letters: Vec<String> = text.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(run(TOOLS, &letters), owned(want), "{text} letter by letter");
    }
}

#[test]
fn only_what_may_be_a_marker_waits() {
    let mut markers = Markers::new(None);
    assert!(markers.passes("Hello") && !markers.passes("a<b"));
    assert_eq!(markers.feed("Hello <tool_"), [Piece::Visible("Hello ".into())]);
    assert!(!markers.passes("Hello"), "something waits");
    assert_eq!(markers.feed("box>"), [Piece::Visible("<tool_box>".into())]);
    assert!(markers.passes("Hello"));
    assert_eq!(markers.feed("<think>"), []);
    assert!(!markers.passes("Hello"), "this is reasoning");
}

#[test]
fn a_call_that_never_ends_becomes_text_at_a_bound() {
    let mut markers = Markers::new(None);
    let mut length = 0;
    assert_eq!(markers.feed("<tool_call>"), []);
    for _ in 0..40_000 {
        for piece in markers.feed("0123456789012345678901234567890123456789") {
            let Piece::Visible(text) = piece else { panic!("only text is left") };
            length += text.len();
        }
        assert!(markers.held.len() <= CALL_LIMIT);
    }
    assert_eq!(length, 11 + 40_000 * 40);
}

proptest! {
    #[test]
    fn no_text_is_lost_or_made_up_wherever_it_is_cut(
        words in proptest::collection::vec(prop_oneof![
            Just("<think>"), Just("</think>"), Just("<tool_call>"), Just("</tool_call>"), Just("<function=f>"), Just("</function>"),
            Just("<parameter=k>"), Just("</parameter>"), Just("<"), Just("x"), Just("\u{e9} "), Just("<tool"), Just("{}"),
        ], 0..16),
        sizes in proptest::collection::vec(1_usize..8, 0..60),
    ) {
        let text = words.concat();
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        for size in sizes {
            let (part, left) = rest.split_at(rest.floor_char_boundary(size.min(rest.len())));
            parts.push(part);
            rest = left;
        }
        parts.push(rest);
        let whole = run("null", &[&text]);
        prop_assert_eq!(run("null", &parts), whole.clone());
        if !whole.iter().any(|(kind, _)| *kind == "call") {
            let said: String = whole.into_iter().map(|(_, text)| text).collect();
            prop_assert_eq!(said.replace("<think>", "").replace("</think>", ""), text.replace("<think>", "").replace("</think>", ""));
        }
    }
}
