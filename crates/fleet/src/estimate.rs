//! Which sizes of a model should fit, by its header and the devices' free memory: a guess that saves loads, never a verdict.

use auxot_catalog::{Ask, Kind, Model, Need};
use auxot_gpu::Sample;

use crate::dial::Size;

/// The device that stands for the host's own memory.
const HOST: &str = "host";

/// Whether a size should fit into what is free now. `None` where nobody can tell.
pub(crate) fn should_fit<'a>(model: &'a Model, devices: &Sample) -> Option<impl Fn(&Size) -> bool + use<'a>> {
    let cards: Vec<_> = devices.devices.iter().filter(|device| device.id != HOST).collect();
    let on_cards = !cards.is_empty();
    let free: u64 = if on_cards {
        cards.iter().map(|device| device.free).sum::<Option<u64>>()?
    } else {
        devices.devices.iter().find(|device| device.id == HOST)?.free?
    };
    Some(move |size: &Size| {
        let ask = match model.kind {
            Kind::Embedding | Kind::Rerank => Ask::embedding(size.slots, size.ctx),
            Kind::Chat => Ask::new(size.slots, size.ctx),
        };
        let need = Need::of(&model.header, model.projector.as_deref(), &ask);
        need.is_ok_and(|need| if on_cards { need.on_one_device() } else { need.on_host(0) } <= free)
    })
}
