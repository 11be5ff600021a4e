//! git's configuration as builds may see it: the keys that say how to read a repository and how git puts its answers, with
//! values that can hold no secret and name no program.
//!
//! What is kept is written anew, key by key. No URL is among it (a clone's may hold a token), so that `git remote get-url`
//! fails; names of remotes, their branches and refspecs are, so that git knows what a branch follows.

/// The sections with the keys that are kept, all in lower case. What git runs, fetches from or writes to is none of them.
const KEPT: [(&str, &[&str]); 12] = [
    (
        "core",
        &[
            "abbrev",
            "autocrlf",
            "bare",
            "bigfilethreshold",
            "checkstat",
            "commitgraph",
            "eol",
            "filemode",
            "ignorecase",
            "ignorestat",
            "logallrefupdates",
            "multipackindex",
            "precomposeunicode",
            "protecthfs",
            "protectntfs",
            "quotepath",
            "repositoryformatversion",
            "safecrlf",
            "sparsecheckout",
            "sparsecheckoutcone",
            "symlinks",
            "trustctime",
            "usereplacerefs",
            "warnambiguousrefs",
        ],
    ),
    (
        "status",
        &[
            "aheadbehind",
            "branch",
            "displaycommentprefix",
            "relativepaths",
            "renamelimit",
            "renames",
            "short",
            "showstash",
            "showuntrackedfiles",
            "submodulesummary",
        ],
    ),
    ("diff", &["algorithm", "context", "ignoresubmodules", "mnemonicprefix", "noprefix", "renamelimit", "renames", "submodule"]),
    ("log", &["abbrevcommit", "date", "decorate", "follow", "mailmap"]),
    ("submodule", &["active", "ignore"]),
    ("branch", &["merge", "remote"]),
    ("remote", &["fetch"]),
    ("index", &["sparse", "version"]),
    ("feature", &["manyfiles"]),
    ("i18n", &["commitencoding", "logoutputencoding"]),
    ("tag", &["sort"]),
    (
        "extensions",
        &[
            "compatobjectformat",
            "noop",
            "objectformat",
            "partialclone",
            "preciousobjects",
            "refstorage",
            "relativeworktrees",
            "worktreeconfig",
        ],
    ),
];

/// git's configuration without secrets and programs: the keys that say how to read the repository and how to answer.
pub fn configuration(text: &str) -> String {
    let mut kept = String::new();
    let mut keys: &[&str] = &[];
    let mut is_remote = false;
    for line in text.lines().map(str::trim) {
        let mut rest = line;
        if let Some((header, after)) = line.strip_prefix('[').and_then(|header| header.split_once(']')) {
            let (section, of) = header.split_once(char::is_whitespace).unwrap_or((header, ""));
            let section = section.to_lowercase();
            let of = of.trim();
            let is_plain = of.is_empty() || quoted(of).is_some_and(is_name);
            keys = KEPT.iter().find(|(name, _)| *name == section && is_plain).map_or(&[], |(_, keys)| *keys);
            is_remote = section == "remote";
            if !keys.is_empty() {
                kept.extend(if of.is_empty() { ["[", &section, "", "", "]\n"] } else { ["[", &section, " ", of, "]\n"] });
            }
            rest = after.trim();
        }
        // A key alone is one that is true.
        let (key, value) = rest.split_once('=').unwrap_or((rest, "true"));
        let key = key.trim().to_lowercase();
        let value = value.split([';', '#']).next().unwrap_or_default().trim();
        let value = quoted(value).unwrap_or(value);
        let is_plain = if is_remote { is_refspec(value) } else { is_value(value) };
        if is_plain && keys.contains(&key.as_str()) {
            kept.extend(["\t", &key, " = ", value, "\n"]);
        }
    }
    kept
}

fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

/// A name of a branch, a remote or a submodule: no URL and no address.
fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./+ ".contains(&byte))
}

/// Words, numbers, names, an order with its colon: no URL and no address.
fn is_value(text: &str) -> bool {
    let after = text.trim_start_matches('-');
    !text.is_empty() && is_name(after.strip_prefix("version:").unwrap_or(after))
}

fn is_refspec(text: &str) -> bool {
    let is_reference = |text: &str| text.strip_prefix("refs/").is_some_and(|name| is_name(&name.replacen('*', "", 1)));
    text.trim_start_matches('+').split_once(':').is_some_and(|(from, to)| is_reference(from) && is_reference(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_git_stay_outside() {
        let text = "[core]\n\trepositoryformatversion = 1\n\tsshCommand = ssh -i s3cret\n[extensions]\n\tobjectformat = sha256\n\
                    [remote \"origin\"]\n\turl = https://u:s3cret@h.example/r\n\tfetch = https://s3cret@h.example\n\
                    [http \"https://h.example/\"]\n\textraheader = AUTHORIZATION: basic s3cret\n\
                    [submodule \"a\"]\n\tactive = true\n\turl = https://u:s3cret@h.example/a\n\
                    [branch \"x\"]\n\tremote = https://u:s3cret@h.example/r\n[remote \"https://u:s3cret@h.example\"]\n\
                    \tfetch = +refs/*:refs/*\n[Credential] helper = store --file s3cret\n[core] pager = s3cret=\n\
                    [diff \"s3cret] \"]\n\tcommand = s3cret\n[include]\n\tpath = s3cret\n";
        let kept = configuration(text);
        assert!(!kept.contains("s3cret"), "{kept}");
        assert!(kept.contains("repositoryformatversion = 1\n") && kept.contains("objectformat = sha256"), "{kept}");
        assert!(kept.contains("[submodule \"a\"]\n\tactive = true\n"), "{kept}");
    }

    #[test]
    fn what_decides_how_git_answers_is_kept() {
        let text = "[status]\n\tshowUntrackedFiles = no ; none\n\tshort\n[core]\n\tquotePath = \"false\"\n[branch \"main\"]\n\
                    \tremote = origin\n\tmerge = refs/heads/main\n[remote \"origin\"]\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n\
                    [tag] sort = -version:refname\n";
        let kept = "[status]\n\tshowuntrackedfiles = no\n\tshort = true\n[core]\n\tquotepath = false\n[branch \"main\"]\n\
                    \tremote = origin\n\tmerge = refs/heads/main\n[remote \"origin\"]\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n\
                    [tag]\n\tsort = -version:refname\n";
        assert_eq!(configuration(text), kept);
    }
}
