//! What a member's settings say of the requests that it proposes.

/// Travels with each batch, because `apply` knows no settings: all members judge a request by the
/// settings of the member that proposed it, whatever their own are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rules(u8);

impl Rules {
    /// As ZooKeeper is by default.
    pub const NONE: Rules = Rules(0);
    /// Access lists forbid nothing (ZooKeeper's `skipACL`).
    pub const SKIP_ACL: Rules = Rules(1);
    /// Hard limits of quotas are refused with −125 (ZooKeeper's `enforceQuota`).
    pub const ENFORCE_QUOTA: Rules = Rules(1 << 1);

    const KNOWN: u8 = Rules::SKIP_ACL.0 | Rules::ENFORCE_QUOTA.0;

    pub fn with(self, rule: Rules, holds: bool) -> Rules {
        match holds {
            true => Rules(self.0 | rule.0),
            false => self,
        }
    }

    pub fn has(self, rule: Rules) -> bool {
        self.0 & rule.0 == rule.0
    }

    pub fn bits(self) -> u8 {
        self.0
    }

    /// `None` if a rule is among them that this program does not know.
    pub fn from_bits(bits: u8) -> Option<Rules> {
        (bits & !Rules::KNOWN == 0).then_some(Rules(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_add_up_and_unknown_ones_are_none_of_ours() {
        let both = Rules::NONE
            .with(Rules::SKIP_ACL, true)
            .with(Rules::ENFORCE_QUOTA, true);
        assert!(both.has(Rules::SKIP_ACL) && both.has(Rules::ENFORCE_QUOTA));
        assert!(
            !Rules::NONE
                .with(Rules::SKIP_ACL, false)
                .has(Rules::SKIP_ACL)
        );
        for bits in 0..=u8::MAX {
            let known = Rules::from_bits(bits).map(Rules::bits);
            assert_eq!(known, (bits < 4).then_some(bits));
        }
    }
}
