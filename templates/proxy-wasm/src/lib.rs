//! Connects the header rules to the proxy: configuration in, header changes out.

pub mod rules;

use std::rc::Rc;

use log::{error, info};
use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::{Action, ContextType, LogLevel},
};

use rules::{Rule, parse};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// One for each configuration of the filter.
#[derive(Debug, Default)]
struct Root {
    rules: Rc<[Rule]>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        match parse(&configuration) {
            Ok(rules) => {
                info!("{} rules", rules.len());
                self.rules = rules.into();
                true
            }
            Err(problem) => {
                error!("configuration: {problem}");
                false
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        let rules = Rc::clone(&self.rules);
        Some(Box::new(Exchange { rules }))
    }
}

/// One request and its response.
#[derive(Debug)]
struct Exchange {
    rules: Rc<[Rule]>,
}

impl Context for Exchange {}

impl HttpContext for Exchange {
    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        for rule in &*self.rules {
            self.set_http_response_header(rule.header(), rule.value());
        }
        Action::Continue
    }
}
