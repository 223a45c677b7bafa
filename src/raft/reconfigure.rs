//! Making the membership, as a whole, what it is to be: several members join, leave, move and change
//! their parts at once (ZooKeeper's `reconfig`).
//!
//! ```text
//! asked who they are ─▶ added as observers ─▶ caught up ─▶ one change of voters ─▶ the rest leaves
//! ```
//! Everything that can be refused is refused before the first step. What joined stays an observer when
//! it has not caught up in time; what it takes to go on from there is the same request again.

use super::consensus::Consensus;
use super::error::ChangeError;
use super::membership::{Change, MEMBERS_MAX, Turn};
use super::types::Node;
use crate::model::{MemberAddresses, MemberId, Membership, Role};
use futures::future::try_join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Who shall belong to the cluster, where, and who of them votes.
pub type WantedMembers = BTreeMap<MemberId, (MemberAddresses, Role)>;

/// What has to be done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// New members; they begin as observers.
    join: BTreeMap<MemberId, MemberAddresses>,
    /// Members with other addresses than before.
    moved: BTreeMap<MemberId, MemberAddresses>,
    /// Who shall vote, and does not yet.
    promote: BTreeSet<MemberId>,
    /// Who shall go on without a vote.
    demote: BTreeSet<MemberId>,
    /// Who leaves with a vote, and without one.
    voters_leave: BTreeSet<MemberId>,
    observers_leave: BTreeSet<MemberId>,
    /// Who votes in the end.
    voters: BTreeSet<MemberId>,
}

impl Plan {
    fn new(now: &Membership, wanted: &WantedMembers) -> Plan {
        let mut plan = Plan::default();
        for (id, (addresses, role)) in wanted {
            match now.members.get(id) {
                None => drop(plan.join.insert(*id, addresses.clone())),
                Some(known) if known != addresses => {
                    plan.moved.insert(*id, addresses.clone());
                }
                Some(_) => {}
            }
            match (now.role(*id), role) {
                (Some(Role::Voter), Role::Observer) => drop(plan.demote.insert(*id)),
                (None | Some(Role::Observer), Role::Voter) => drop(plan.promote.insert(*id)),
                _ => {}
            }
            if *role == Role::Voter {
                plan.voters.insert(*id);
            }
        }
        for id in now.members.keys().filter(|id| !wanted.contains_key(id)) {
            match now.role(*id) {
                Some(Role::Voter) => plan.voters_leave.insert(*id),
                _ => plan.observers_leave.insert(*id),
            };
        }
        plan
    }

    /// The changes after all who join were added. The last one of the first change's voters leave in it,
    /// unless others of them stay without a vote: openraft keeps all of them or none.
    fn changes(&self) -> Vec<(Change, bool)> {
        let ids = |ids: &BTreeSet<MemberId>| ids.iter().map(|id| id.0).collect::<BTreeSet<u64>>();
        let mut first = Vec::new();
        if !self.moved.is_empty() {
            let moved = self.moved.iter();
            let moved = moved.map(|(id, addresses)| (id.0, Node::from(addresses.clone())));
            first.push(Change::SetNodes(moved.collect()));
        }
        if !self.promote.is_empty() {
            first.push(Change::AddVoterIds(ids(&self.promote)));
        }
        let lose_vote = &self.demote | &self.voters_leave;
        if !lose_vote.is_empty() {
            first.push(Change::RemoveVoters(ids(&lose_vote)));
        }
        if !self.observers_leave.is_empty() {
            first.push(Change::RemoveNodes(ids(&self.observers_leave)));
        }
        let some_stay = !self.demote.is_empty();
        let mut changes = Vec::new();
        // A configuration that is as before is a new one too.
        if !first.is_empty() || self.join.is_empty() {
            changes.push((Change::Batch(first), some_stay));
        }
        if some_stay && !self.voters_leave.is_empty() {
            changes.push((Change::RemoveNodes(ids(&self.voters_leave)), true));
        }
        changes
    }
}

impl Consensus {
    /// Makes the membership what is wanted. Members that are to vote have `patience` to catch up.
    pub async fn reconfigure(
        &self,
        turn: &Turn,
        wanted: &WantedMembers,
        patience: Duration,
    ) -> Result<(), ChangeError> {
        let now = self.status().membership;
        if !now.is_settled() {
            return Err(ChangeError::InProgress);
        }
        let plan = Plan::new(&now, wanted);
        if now.members.len() + plan.join.len() > MEMBERS_MAX {
            return Err(ChangeError::Refused(format!(
                "with those who join and before others leave there would be more than {MEMBERS_MAX} members"
            )));
        }
        self.may_join(&plan).await?;
        let at = |id: &MemberId| {
            wanted
                .get(id)
                .map(|(addresses, _)| addresses.clone().into())
        };
        self.has_majority_at(&plan.voters, at).await?;
        let stay: BTreeSet<MemberId> = &plan.voters & &self.voters();
        self.step_aside(&stay).await?;
        let made = self.make(turn, &plan, patience).await;
        made.map_err(|error| match error {
            // Some of it may have been made.
            ChangeError::NotLeader { .. } => {
                ChangeError::Unknown("another leader took over meanwhile".to_owned())
            }
            error => error,
        })
    }

    async fn make(&self, turn: &Turn, plan: &Plan, patience: Duration) -> Result<(), ChangeError> {
        if !plan.join.is_empty() {
            let join = plan.join.iter();
            let join = join.map(|(id, addresses)| (id.0, Node::from(addresses.clone())));
            self.change(turn, Change::AddNodes(join.collect()), true)
                .await?;
        }
        let caught_up = try_join_all(plan.promote.iter().map(|id| self.caught_up(*id)));
        match tokio::time::timeout(patience, caught_up).await {
            Ok(caught_up) => drop(caught_up?),
            Err(_) => return Err(ChangeError::Lagging { patience }),
        }
        self.has_majority(&plan.voters).await?;
        for (change, retain) in plan.changes() {
            self.change(turn, change, retain).await?;
        }
        Ok(())
    }

    /// Nobody is talked to before all that is known here was looked at.
    async fn may_join(&self, plan: &Plan) -> Result<(), ChangeError> {
        for (id, addresses) in &plan.join {
            self.may_be_added(*id, addresses)?;
        }
        for addresses in plan.moved.values() {
            super::record::check_addresses(addresses).map_err(ChangeError::Refused)?;
        }
        let join = plan.join.iter();
        try_join_all(join.map(|(id, addresses)| self.is_new(*id, addresses))).await?;
        let moved = plan.moved.iter();
        try_join_all(moved.map(|(id, addresses)| self.meet(*id, addresses))).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str) -> MemberAddresses {
        MemberAddresses {
            peer: format!("{host}:2192"),
            ..MemberAddresses::default()
        }
    }

    fn ids(ids: &[u64]) -> BTreeSet<MemberId> {
        ids.iter().map(|id| MemberId(*id)).collect()
    }

    /// Members 1 to 3 vote, 4 and 5 observe.
    fn five() -> Membership {
        let member = |id: u64| (MemberId(id), at(&format!("m{id}")));
        Membership {
            position: None,
            voters: vec![ids(&[1, 2, 3])],
            members: (1..=5).map(member).collect(),
        }
    }

    fn wanted(members: &[(u64, &str, Role)]) -> WantedMembers {
        let one = |(id, host, role): &(u64, &str, Role)| (MemberId(*id), (at(host), *role));
        members.iter().map(one).collect()
    }

    #[test]
    fn a_plan_says_who_joins_leaves_moves_and_changes_parts() {
        use Role::{Observer, Voter};
        let plan = Plan::new(
            &five(),
            &wanted(&[
                (1, "m1", Voter),
                (2, "m2", Observer),
                (4, "m4", Voter),
                (6, "m6", Voter),
                (7, "m7", Observer),
                (5, "elsewhere", Observer),
            ]),
        );
        let expected = Plan {
            join: [(MemberId(6), at("m6")), (MemberId(7), at("m7"))].into(),
            moved: [(MemberId(5), at("elsewhere"))].into(),
            promote: ids(&[4, 6]),
            demote: ids(&[2]),
            voters_leave: ids(&[3]),
            observers_leave: ids(&[]),
            voters: ids(&[1, 4, 6]),
        };
        assert_eq!(plan, expected);
        let [(Change::Batch(first), true), (second, true)] = &plan.changes()[..] else {
            panic!("{:?}", plan.changes());
        };
        assert_eq!(
            first[1..],
            [
                Change::AddVoterIds([4, 6].into()),
                Change::RemoveVoters([2, 3].into())
            ]
        );
        assert!(matches!(&first[0], Change::SetNodes(moved) if moved.len() == 1));
        assert_eq!(*second, Change::RemoveNodes([3].into()));
    }

    #[test]
    fn voters_that_leave_go_with_the_change_of_voters_unless_others_stay_without_a_vote() {
        let mut all = wanted(&[(1, "m1", Role::Voter), (2, "m2", Role::Voter)]);
        let plan = Plan::new(&five(), &all);
        let expected = Change::Batch(vec![
            Change::RemoveVoters([3].into()),
            Change::RemoveNodes([4, 5].into()),
        ]);
        assert_eq!(plan.changes(), [(expected, false)]);
        // What is as before is written once more.
        all.extend(wanted(&[(3, "m3", Role::Voter)]));
        all.extend(wanted(&[
            (4, "m4", Role::Observer),
            (5, "m5", Role::Observer),
        ]));
        let plan = Plan::new(&five(), &all);
        assert_eq!(plan.changes(), [(Change::Batch(vec![]), false)]);
        // Observers that join are all there is to do.
        all.extend(wanted(&[(6, "m6", Role::Observer)]));
        assert_eq!(Plan::new(&five(), &all).changes(), []);
    }
}
