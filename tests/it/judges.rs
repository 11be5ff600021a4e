//! Foreign libraries judge the documents that builds attach.

use std::fs;
use std::process::Command;

use crate::support::program::done;
use crate::support::project::Project;
use crate::support::tools::{require, stdout};

const CYCLONEDX: &str = r"
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
print(JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read()))
";
const SPDX: &str = r"
import sys
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
print([message.validation_message for message in validate_full_spdx_document(parse_file(sys.argv[1]))])
";
const STATEMENT: &str = r#"
import json, sys
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
text = open(sys.argv[1]).read()
statement = Statement.copy_from_pb(json_format.Parse(text, statement_pb2.Statement()))
statement.validate()
json_format.ParseDict(json.loads(text)["predicate"], provenance_pb2.Provenance())
print(statement.pb.predicate_type)
"#;

/// A plugin with a licence, a build script, dependencies of both kinds and a file.
fn project() -> Project {
    let manifest = "[package]\nname='p'\nversion='0.1.0+more'\nedition='2024'\nlicense='MIT/Apache-2.0'\n\
                    [dependencies]\nserde={version='=1.0.229',features=['derive']}\nown={path='own'}\n\
                    [build-dependencies]\nryu='=1.0.23'\n\
                    [package.metadata.plugin-build]\nfiles=[{from='notes & more.txt'}]\n";
    Project::new(&[
        ("Cargo.toml", manifest),
        ("build.rs", "fn main() {}\n"),
        ("src/main.rs", "fn main() {}\n"),
        ("notes & more.txt", "é\n"),
        ("own/Cargo.toml", "[package]\nname='own'\nversion='0.1.0'\nedition='2024'\nlicense='proprietary'\n"),
        ("own/src/lib.rs", ""),
    ])
}

#[test]
#[ignore = "needs libraries from PyPI"]
fn foreign_libraries_find_no_fault_in_what_is_attached() {
    let Some(python) = require("python-with-judges") else { return };
    let project = project();
    let judged = |script: &str, document: String| {
        fs::write(project.root.join("document.json"), document).unwrap();
        stdout(Command::new(&python).args(["-c", script, "document.json"]).current_dir(&project.root)).trim().to_owned()
    };
    done(&project.root, &["build", "-q", "-o", "out"]);
    let cyclonedx = done(&project.root, &["sbom", "oci:out", "--format", "json"]);
    assert_eq!(judged(CYCLONEDX, cyclonedx.clone()), "None");
    assert_ne!(judged(CYCLONEDX, cyclonedx.replace("\"required\"", "\"needed\"")), "None", "it judges");
    let provenance = done(&project.root, &["provenance", "oci:out", "--format", "json"]);
    assert_eq!(judged(STATEMENT, provenance), "https://slsa.dev/provenance/v1");
    done(&project.root, &["build", "-q", "--sbom", "spdx", "-o", "spdx"]);
    assert_eq!(judged(SPDX, done(&project.root, &["sbom", "oci:spdx", "--format", "json"])), "[]");
}
