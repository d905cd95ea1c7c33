//! Which models would have to be unloaded to make room, in a given order.

use super::{Capacity, Known, LayerRequirements, Placement, PlacementError, Rules, Stop, plan};
use auxot_gpu::HOST;

/// A loaded model, as far as its memory is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenant<'a> {
    /// Its name.
    pub model: &'a str,
    /// Bytes by device id; `host` is the host's memory.
    pub holds: &'a [(String, u64)],
}

/// Finds a place, if need be one that is free only once some of `tenants` are unloaded. They stand in the order in
/// which they may be unloaded; none is unloaded in vain.
///
/// # Errors
/// As [`plan`], when not even unloading all of them makes room.
pub fn make_room(
    requirements: &LayerRequirements,
    capacity: &Capacity,
    rules: &Rules,
    tenants: &[Tenant<'_>],
    known: Known<'_>,
) -> Result<(Placement, Option<Stop>), PlacementError> {
    let placement_error = match plan(requirements, capacity, rules, known) {
        Ok(placement) => return Ok((placement, None)),
        Err(placement_error) => placement_error,
    };
    // If all of them are not enough, no part of them is: more memory never turns a fit into a placement error.
    let all: Vec<usize> = (0..tenants.len()).collect();
    let without = |gone: &[usize]| plan(requirements, &capacity_without(capacity, tenants, gone), rules, known);
    without(&all).map_err(|_| placement_error)?;
    // The fewest from the front, by bisection, and then without those of them whose memory was not what was missing.
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

/// Adds to a placement error which models would make room: those that may not be unloaded by the scheduler, but that a
/// person can stop.
#[must_use]
pub fn advise(
    placement_error: PlacementError,
    requirements: &LayerRequirements,
    capacity: &Capacity,
    rules: &Rules,
    tenants: &[Tenant<'_>],
    known: Known<'_>,
) -> PlacementError {
    match (placement_error, make_room(requirements, capacity, rules, tenants, known)) {
        (PlacementError::DoesNotFit { needs, free, devices, .. }, Ok((_, stop))) => {
            PlacementError::DoesNotFit { needs, free, devices, stop }
        }
        (placement_error, _) => placement_error,
    }
}

fn capacity_without(capacity: &Capacity, tenants: &[Tenant<'_>], gone: &[usize]) -> Capacity {
    let mut capacity = capacity.clone();
    for (device, bytes) in gone.iter().flat_map(|at| tenants[*at].holds) {
        capacity.freed(device, *bytes);
    }
    capacity
}
