//! Which sizes of a model should fit, by its header and the devices' free memory: a guess that saves loads, never a verdict.

use auxot_catalog::Model;
use auxot_gpu::Sample;

use crate::dial::Size;
use crate::placement::Ground;

/// Whether a size should fit into what is free now. `None` where nobody can tell.
pub(crate) fn should_fit<'a>(model: &'a Model, devices: &Sample) -> Option<impl Fn(&Size) -> bool + use<'a>> {
    let ground = Ground::of(devices, |_| 0);
    let on_cards = !ground.devices.is_empty();
    let free = if on_cards { ground.devices.iter().map(|room| room.free).sum::<Option<u64>>()? } else { ground.host? };
    Some(move |size: &Size| {
        let need = model.need(&model.ask(size.slots, size.ctx));
        need.is_ok_and(|need| if on_cards { need.on_one_device() } else { need.on_host(0) } <= free)
    })
}
