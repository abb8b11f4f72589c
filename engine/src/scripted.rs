//! An engine that computes nothing: it knows answers by heart. For tests of whoever uses engines, and of the suite that
//! every engine has to pass, which a scripted one passes unless it is told to break a promise.

use crate::failure::{Refused, RunError};
use crate::id::{EngineId, Mode};
use crate::ports::Ports;
use crate::tensor::Tensor;
use crate::{Runtime, Session};
use program::{Graph, onnx};
use protocol::Digest;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

/// A promise that it breaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// None.
    #[default]
    None,
    /// It isn't ready.
    NotReady,
    /// Its answers are zeros.
    Wrong,
    /// It answers what was right once, and zeros from then on.
    Tired,
    /// It takes whatever goes in.
    Careless,
    /// It gives one output more.
    Generous,
    /// It panics on numbers that are none.
    Panics,
    /// It answers zeros for ever once it saw a number that is none.
    Poisoned,
}

/// Answers by model, and what went in.
type Answers = HashMap<Digest, Vec<(Vec<Tensor>, Vec<Tensor>)>>;

/// The engine.
#[derive(Clone, Debug, Default)]
pub struct Scripted {
    answers: Arc<Answers>,
    fault: Fault,
}

impl Scripted {
    /// Knows these: a graph, what goes in and what comes out.
    pub fn new<'g>(known: impl IntoIterator<Item = (&'g Graph<'g>, Vec<Tensor>, Vec<Tensor>)>, fault: Fault) -> Self {
        let mut answers = Answers::new();
        for (graph, inputs, outputs) in known {
            answers.entry(onnx::digest(graph)).or_default().push((inputs, outputs));
        }
        Self { answers: Arc::new(answers), fault }
    }
}

impl Runtime for Scripted {
    fn id(&self) -> EngineId {
        EngineId { name: "scripted", version: "1".to_owned(), library: None }
    }

    fn prepare(&self) -> io::Result<()> {
        if self.fault == Fault::NotReady { Err(io::Error::other("it was told not to be")) } else { Ok(()) }
    }

    fn load(&self, graph: &Graph<'_>, _mode: Mode) -> Result<Box<dyn Session>, Refused> {
        let known = self.answers.get(&onnx::digest(graph)).cloned().unwrap_or_default();
        Ok(Box::new(Recital { ports: Ports::of(graph)?, known, fault: self.fault, spoilt: false }))
    }
}

struct Recital {
    ports: Ports,
    known: Vec<(Vec<Tensor>, Vec<Tensor>)>,
    fault: Fault,
    /// Whether it answers zeros from now on.
    spoilt: bool,
}

impl Session for Recital {
    fn ports(&self) -> &Ports {
        &self.ports
    }

    fn run(&mut self, inputs: &[Tensor], outputs: &mut Vec<Tensor>) -> Result<(), RunError> {
        if self.fault != Fault::Careless {
            self.ports.check_inputs(inputs)?;
        }
        let is_strange = inputs.iter().filter_map(Tensor::floats).flatten().any(|value| !value.is_finite());
        assert!(!(is_strange && self.fault == Fault::Panics), "it was told to");
        let answer = self.known.iter().find(|(known, _)| known == inputs).map(|(_, answer)| answer.clone());
        *outputs = match answer {
            Some(answer) if self.fault != Fault::Wrong && !self.spoilt => answer,
            _ => self.ports.outputs.iter().filter_map(|(_, ty)| Tensor::filled(ty, 0)).collect(),
        };
        if self.fault == Fault::Generous {
            outputs.extend(inputs.first().cloned());
        }
        self.spoilt |= self.fault == Fault::Tired || (is_strange && self.fault == Fault::Poisoned);
        Ok(())
    }
}
