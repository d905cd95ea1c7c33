//! Whose end would make room, in the order in which they may be asked to go.

use super::{Demand, Ground, Known, Misfit, Placement, Rules, Stop, plan};
use auxot_gpu::HOST;

/// A loaded model, as far as its memory is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenant<'a> {
    /// Its name.
    pub model: &'a str,
    /// Bytes by device id; `host` is the host's memory.
    pub holds: &'a [(String, u64)],
}

/// Finds a place, if need be one that is free only after some of `tenants` have gone. They stand in the order in which
/// they may be asked to; none goes in vain.
///
/// # Errors
/// As [`plan`], when not even the end of all of them makes room.
pub fn make_room(
    demand: &Demand,
    ground: &Ground,
    rules: &Rules,
    tenants: &[Tenant<'_>],
    known: Known<'_>,
) -> Result<(Placement, Option<Stop>), Misfit> {
    let misfit = match plan(demand, ground, rules, known) {
        Ok(placement) => return Ok((placement, None)),
        Err(misfit) => misfit,
    };
    // If all of them are not enough, no part of them is: more memory never turns a fit into a misfit.
    let all: Vec<usize> = (0..tenants.len()).collect();
    let without = |gone: &[usize]| plan(demand, &ground_without(ground, tenants, gone), rules, known);
    without(&all).map_err(|_| misfit)?;
    // The fewest that stand first, by halves, and then without those of them whose memory is not what was missing.
    let (mut too_few, mut enough) = (0, tenants.len());
    while enough - too_few > 1 {
        let half = usize::midpoint(too_few, enough);
        if without(&all[..half]).is_ok() { enough = half } else { too_few = half }
    }
    let mut gone = all[..enough].to_vec();
    for at in (0..enough).rev() {
        let spared: Vec<usize> = gone.iter().copied().filter(|other| *other != at).collect();
        if without(&spared).is_ok() {
            gone = spared;
        }
    }
    let placement = without(&gone)?;
    let frees = gone.iter().flat_map(|at| tenants[*at].holds).filter(|(device, _)| device != HOST);
    let frees = frees.map(|(_, bytes)| bytes).sum();
    let models = gone.iter().map(|at| tenants[*at].model.to_owned()).collect();
    Ok((placement, Some(Stop { models, at: gone, frees })))
}

/// Adds to a misfit whose end would make room: of models that may not be asked to go, but that a person can stop.
#[must_use]
pub fn advise(
    misfit: Misfit,
    demand: &Demand,
    ground: &Ground,
    rules: &Rules,
    tenants: &[Tenant<'_>],
    known: Known<'_>,
) -> Misfit {
    match (misfit, make_room(demand, ground, rules, tenants, known)) {
        (Misfit::DoesNotFit { needs, free, devices, .. }, Ok((_, stop))) => {
            Misfit::DoesNotFit { needs, free, devices, stop }
        }
        (misfit, _) => misfit,
    }
}

fn ground_without(ground: &Ground, tenants: &[Tenant<'_>], gone: &[usize]) -> Ground {
    let mut ground = ground.clone();
    for (device, bytes) in gone.iter().flat_map(|at| tenants[*at].holds) {
        ground.freed(device, *bytes);
    }
    ground
}
