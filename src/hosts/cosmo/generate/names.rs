//! How a GraphQL name is respelled for protobuf.
//!
//! A name is first split into words, then joined again. The words are those that lodash 4.17 finds, since the names that
//! the router's own generator writes are made with it: `HTTPServer2` is `HTTP`, `Server`, `2`, and `item1st` is `item`,
//! `1st`. Only names of ASCII letters, digits and `_` are asked for; everything else separates words.

use std::cmp::Ordering;

/// The words of a name, in their own case.
pub fn words(name: &str) -> Vec<&str> {
    let mut rest = name;
    let mut found = Vec::new();
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_alphanumeric()) {
        rest = &rest[start..];
        let (word, after) = rest.split_at(word_length(rest.as_bytes()));
        found.push(word);
        rest = after;
    }
    found
}

/// The length of the word that a non-empty text of a letter or digit begins with.
fn word_length(text: &[u8]) -> usize {
    let run = |from: usize, of: fn(&u8) -> bool| text[from..].iter().take_while(|byte| of(byte)).count();
    if text[0].is_ascii_digit() {
        return ordinal_length(text).unwrap_or_else(|| run(0, u8::is_ascii_digit));
    }
    let upper = run(0, u8::is_ascii_uppercase);
    if upper <= 1 {
        let lower = run(upper, u8::is_ascii_lowercase);
        return upper + lower;
    }
    // `HTTPServer`: the last capital begins the next word.
    let starts_next = text.get(upper).is_some_and(u8::is_ascii_lowercase);
    if starts_next { upper - 1 } else { upper }
}

/// `1st`, `22nd`, `3RD`, `11th`: digits with their suffix are one word when the word ends there.
fn ordinal_length(text: &[u8]) -> Option<usize> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let suffix = text.get(digits..digits + 2)?;
    let fits = match text[digits - 1] {
        b'1' => suffix.eq_ignore_ascii_case(b"st"),
        b'2' => suffix.eq_ignore_ascii_case(b"nd"),
        b'3' => suffix.eq_ignore_ascii_case(b"rd"),
        _ => suffix.eq_ignore_ascii_case(b"th"),
    };
    let ends = |other: fn(&u8) -> bool| text.get(digits + 2).is_none_or(|next| !next.is_ascii_alphanumeric() || other(next));
    let whole = if suffix.iter().all(u8::is_ascii_lowercase) {
        ends(u8::is_ascii_uppercase)
    } else {
        suffix.iter().all(u8::is_ascii_uppercase) && ends(u8::is_ascii_lowercase)
    };
    (fits && whole).then_some(digits + 2)
}

/// `firstName` is `first_name`: the name of a field of a message.
pub fn snake(name: &str) -> String {
    words(name).join("_").to_ascii_lowercase()
}

/// `first_name` is `firstName`.
pub fn camel(name: &str) -> String {
    let mut joined = pascal(name);
    if let Some(first) = joined.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    joined
}

/// `first_name` is `FirstName`: a part of the name of a call.
pub fn pascal(name: &str) -> String {
    let mut joined = String::with_capacity(name.len());
    for word in words(name) {
        joined.push_str(&word[..1].to_ascii_uppercase());
        joined.push_str(&word[1..].to_ascii_lowercase());
    }
    joined
}

/// `UserRole` and `ADMIN` are `USER_ROLE_ADMIN`.
pub fn enum_value(of: &str, value: &str) -> String {
    format!("{}_{value}", snake(of).to_ascii_uppercase())
}

/// The order of names in a list for people (the root collation of Unicode, for the letters that names have): `_`, digits,
/// letters, the case only where all else is the same, small letters first.
pub fn collate(left: &str, right: &str) -> Ordering {
    let weight = |byte: u8| if byte == b'_' { 0 } else { byte.to_ascii_lowercase() };
    let case = |byte: u8| byte.is_ascii_uppercase();
    left.bytes().map(weight).cmp(right.bytes().map(weight)).then_with(|| left.bytes().map(case).cmp(right.bytes().map(case)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_that_the_generator_of_the_router_finds() {
        let expected: [(&str, &[&str]); 14] = [
            ("firstName", &["first", "Name"]),
            ("HTTPServer2", &["HTTP", "Server", "2"]),
            ("userID", &["user", "ID"]),
            ("user_id", &["user", "id"]),
            ("__typename", &["typename"]),
            ("a1b2", &["a", "1", "b", "2"]),
            ("item1st", &["item", "1st"]),
            ("the22NDday", &["the", "22ND", "day"]),
            ("x11th", &["x", "11", "th"]),
            ("x4th2", &["x", "4", "th", "2"]),
            ("ABc", &["A", "Bc"]),
            ("URL", &["URL"]),
            ("Aa1", &["Aa", "1"]),
            ("_", &[]),
        ];
        for (name, parts) in expected {
            assert_eq!(words(name), parts, "{name}");
        }
    }

    #[test]
    fn words_join_again_in_three_ways() {
        assert_eq!(snake("HTTPServer2"), "http_server_2");
        assert_eq!(camel("user_ID"), "userId");
        assert_eq!(pascal("list_of1st"), "ListOf1st");
        assert_eq!(enum_value("UserRole", "superAdmin"), "USER_ROLE_superAdmin");
    }

    #[test]
    fn names_collate_as_people_list_them() {
        let mut names = ["b", "B", "a1", "a_b", "A", "ab", "a"];
        names.sort_by(|left, right| collate(left, right));
        assert_eq!(names, ["a", "A", "a_b", "a1", "ab", "b", "B"]);
    }
}
