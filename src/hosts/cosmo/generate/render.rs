//! A proto as text.
//!
//! Blank lines are where the router's own generator has them: around types, after the messages of entities and resolvers,
//! and nowhere else.

use std::fmt::Write as _;

use super::model::{Call, Enum, Field, Item, Message, Proto, Value};
use super::text::trim;

/// Writes a proto.
pub fn proto(proto: &Proto) -> String {
    let mut page = Page::default();
    page.line(0, "syntax = \"proto3\";");
    page.line(0, &format!("package {};", proto.package));
    page.blank();
    let mut options = proto.options.clone();
    options.sort();
    page.block(options.iter().map(String::as_str));
    page.block(proto.imports.iter().map(|import| format!("import \"{import}\";")));
    page.comment(0, &format!("Service definition for {}", proto.service.name));
    page.line(0, &format!("service {} {{", proto.service.name));
    proto.service.calls.iter().for_each(|call| page.call(call));
    page.line(0, "}");
    page.blank();
    proto.lists.iter().chain(&proto.calls).for_each(|message| page.message(0, message));
    page.end();
    for item in &proto.types {
        page.blank();
        match item {
            Item::Message(message) => page.message(0, message),
            Item::Enum(one) => page.enumeration(one),
        }
    }
    page.end();
    page.text.pop();
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, indent: usize, line: &str) {
        for _ in 0..indent {
            self.text.push_str("  ");
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    /// Lines and a blank one, if there are any.
    fn block(&mut self, lines: impl Iterator<Item = impl AsRef<str>>) {
        let before = self.text.len();
        lines.for_each(|line| self.line(0, line.as_ref()));
        if self.text.len() > before {
            self.blank();
        }
    }

    /// Removes blank lines at the end.
    fn end(&mut self) {
        let length = self.text.trim_end_matches('\n').len();
        self.text.truncate(length);
        self.blank();
    }

    fn comment(&mut self, indent: usize, text: &str) {
        if text.is_empty() {
            return;
        }
        // A comment within must not end this one.
        let harmless = text.replace("/*", "/ *").replace("*/", "* /");
        let harmless = trim(&harmless);
        if !harmless.contains('\n') {
            self.line(indent, &format!("// {harmless}"));
            return;
        }
        self.line(indent, "/*");
        harmless.split('\n').for_each(|line| self.line(indent, &format!(" * {line}")));
        self.line(indent, " */");
    }

    fn call(&mut self, call: &Call) {
        self.comment(1, call.comment.as_deref().unwrap_or_default());
        let Call { name, request, response, .. } = call;
        self.line(1, &format!("rpc {name}({request}) returns ({response}) {{}}"));
    }

    fn message(&mut self, indent: usize, message: &Message) {
        self.comment(indent, message.comment.as_deref().unwrap_or_default());
        self.line(indent, &format!("message {} {{", message.name));
        message.nested.iter().for_each(|nested| self.message(indent + 1, nested));
        self.reserved(indent + 1, &message.reserved);
        message.choices.iter().for_each(|choice| self.message(indent + 1, choice));
        match message.oneof {
            None => message.fields.iter().for_each(|field| self.field(indent + 1, field)),
            Some(oneof) => {
                self.line(indent + 1, &format!("oneof {oneof} {{"));
                // Within a message they are indented as they should be.
                let inner = if indent == 0 { 1 } else { indent + 2 };
                message.fields.iter().for_each(|field| self.field(inner, field));
                self.line(indent + 1, "}");
            }
        }
        self.line(indent, "}");
        if message.spaced {
            self.blank();
        }
    }

    fn field(&mut self, indent: usize, field: &Field) {
        field.comments.iter().for_each(|comment| self.comment(indent, comment));
        let repeated = if field.repeated { "repeated " } else { "" };
        let deprecated = if field.deprecated { " [deprecated = true]" } else { "" };
        self.line(indent, &format!("{repeated}{} {} = {}{deprecated};", field.ty, field.name, field.number));
    }

    fn enumeration(&mut self, one: &Enum) {
        self.comment(0, one.comment.as_deref().unwrap_or_default());
        self.line(0, &format!("enum {} {{", one.name));
        self.reserved(1, &one.reserved);
        for Value { name, number, comments, deprecated, .. } in &one.values {
            for comment in comments {
                self.comment(1, comment);
            }
            let deprecated = if *deprecated { " [deprecated = true]" } else { "" };
            self.line(1, &format!("{name} = {number}{deprecated};"));
        }
        self.line(0, "}");
    }

    fn reserved(&mut self, indent: usize, numbers: &[u32]) {
        if !numbers.is_empty() {
            self.line(indent, &format!("reserved {};", ranges(numbers)));
        }
    }
}

fn ranges(numbers: &[u32]) -> String {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    let mut text = String::new();
    let mut rest = sorted.as_slice();
    while let Some(first) = rest.first() {
        let length = rest.iter().zip(*first..).take_while(|(number, expected)| *number == expected).count();
        let separator = if text.is_empty() { "" } else { ", " };
        let last = rest[length - 1];
        let written =
            if last == *first { write!(text, "{separator}{first}") } else { write!(text, "{separator}{first} to {last}") };
        debug_assert!(written.is_ok(), "a string takes everything");
        rest = &rest[length..];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_numbers_are_joined_to_ranges() {
        assert_eq!(ranges(&[7]), "7");
        assert_eq!(ranges(&[5, 3, 4, 1, 9, 10]), "1, 3 to 5, 9 to 10");
    }

    #[test]
    fn a_comment_cannot_end_another() {
        let mut page = Page::default();
        page.comment(1, " a */ b\n/*/ ");
        assert_eq!(page.text, "  /*\n   * a * / b\n   * / * /\n   */\n");
    }
}
