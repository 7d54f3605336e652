//! Chat templates, as the templates of known models are written.

use fastweight::text::{Message, Template, TextError};

fn render(source: &str, messages: &[Message]) -> Result<String, TextError> {
    Template::parse("model", source, Some("<s>".into()), Some("</s>".into()))?.render(messages)
}

fn conversation() -> Vec<Message> {
    vec![
        Message::new("system", "Be brief."),
        Message::new("user", " Who? "),
        Message::new("assistant", "I <b>&."),
        Message::new("user", "Why?"),
    ]
}

#[test]
fn templates_are_rendered_as_hugging_face_renders_them() {
    // ChatML, as SmolLM2 and Qwen2 have it.
    let chatml = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nHi<|im_end|>\n' }}\
                  {% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}\
                  {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    let wanted = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Who? <|im_end|>\n<|im_start|>assistant\nI <b>&.<|im_end|>\n\
                  <|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(render(chatml, &conversation()).expect("it renders"), wanted);

    // Llama 2: slices, a namespace, Python's methods, tokens.
    let llama = "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}\
                 {% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}\
                 {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}\
                 {% if loop.index0 == 0 and system_message %}{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}\
                 {% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}\
                 {{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}\
                 {{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}";
    let wanted = "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n Who? [/INST] I <b>&. </s><s>[INST] Why? [/INST]";
    assert_eq!(render(llama, &conversation()).expect("it renders"), wanted);
    let twice = [Message::new("user", "a"), Message::new("user", "b")];
    assert!(matches!(render(llama, &twice), Err(TextError::Template { reason, .. }) if reason.contains("Roles must alternate")));

    // Blocks on lines of their own leave none behind; a namespace outlives a loop; `break`; dates.
    let lines = "{%- set ns = namespace(n=0) -%}\n{% for m in messages %}\n    {% if m.role == 'user' %}\n{% set ns.n = ns.n + 1 %}\n    {% endif %}\n\
                 {% if ns.n == 2 %}{% break %}{% endif %}\n{% endfor %}\n{{ ns.n }} {{ 'a-b'.split('-')[1] }} {{ strftime_now('%Y')|length }}\n";
    assert_eq!(render(lines, &conversation()).expect("it renders"), "2 b 4");
}

#[test]
fn templates_of_strangers_are_refused_with_words() {
    let deep = format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000));
    let nested =
        "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}x{% endfor %}{% endfor %}{% endfor %}";
    for source in [
        "{% for %}",
        "{{ nothing.at.all }}",
        "{{ 'x' * 10000000000 }}",
        "{% include 'other' %}",
        "{{ strftime_now('%é') }}",
        nested,
        &format!("{{{{ {deep} }}}}"),
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    ] {
        let refused = render(source, &conversation());
        assert!(
            matches!(&refused, Err(TextError::Template { file, .. }) if file == "model"),
            "{}: {refused:?}",
            &source[..source.len().min(60)]
        );
    }
}
