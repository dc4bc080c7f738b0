//! A command on its way: sealed by its tenant, opened by a node.

use thiserror::Error;

use crate::document::{self, DocumentError};
use crate::{Command, CommandId, Digest, Document, Envelope, EnvelopeError, PublicKey, SecretKey, Tenant};

/// The payload's type in the envelope.
pub const PAYLOAD_TYPE: &str = "application/vnd.spore.command+json";

/// A command in its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCommand(Envelope);

/// Why a command is not taken as its tenant's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommandRefusal {
    /// The envelope or the command in it cannot be read.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The envelope holds something else, or is damaged.
    #[error(transparent)]
    Envelope(EnvelopeError),
    /// Nobody has told this node of the tenant.
    #[error("command \"{command}\": this node knows no tenant \"{tenant}\"; add it with its key first")]
    UnknownTenant {
        /// The tenant.
        tenant: Tenant,
        /// The command.
        command: CommandId,
    },
    /// Someone else signed it, or it was changed.
    #[error("command \"{command}\" of tenant \"{tenant}\": {reason}")]
    NotSignedByTenant {
        /// The tenant.
        tenant: Tenant,
        /// The command.
        command: CommandId,
        /// What is wrong with the signatures.
        reason: EnvelopeError,
    },
}

/// A command that its tenant has signed. Only [`SignedCommand::open`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    command: Command,
    digest: Digest,
}

impl Verified {
    /// The command.
    #[must_use]
    pub fn command(&self) -> &Command {
        &self.command
    }

    /// The digest of the signed bytes: tells whether a second command of the same id is the same one.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl SignedCommand {
    /// Signs a command.
    #[must_use]
    pub fn seal(command: &Command, key: &SecretKey) -> Self {
        Self(Envelope::seal(PAYLOAD_TYPE, &document::encode(command), key))
    }

    /// Signs a command as its author wrote it, byte for byte, after it was read as one.
    ///
    /// # Errors
    /// It is no command.
    pub fn seal_text(text: &[u8], key: &SecretKey) -> Result<Self, DocumentError> {
        document::decode::<Command>(text)?;
        Ok(Self(Envelope::seal(PAYLOAD_TYPE, text, key)))
    }

    /// The envelope as JSON.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        document::encode(&self.0)
    }

    /// Opens a command in its envelope, when a key of the tenant that it names has signed it. `keys` gives a tenant's
    /// keys, or nothing for one that is not known.
    ///
    /// # Errors
    /// It cannot be read, its tenant is unknown, or the signature is none of its tenant's.
    pub fn open(
        bytes: &[u8],
        keys: impl FnOnce(&Tenant) -> Option<Vec<PublicKey>>,
    ) -> Result<Verified, CommandRefusal> {
        let envelope: Envelope = document::decode(bytes)?;
        let payload = envelope.unverified_payload(PAYLOAD_TYPE).map_err(CommandRefusal::Envelope)?;
        // Not trusted yet: it only says whose keys are to be asked for.
        let Command { tenant, id, .. } = document::decode(&payload)?;
        let Some(keys) = keys(&tenant) else {
            return Err(CommandRefusal::UnknownTenant { tenant, command: id });
        };
        let (payload, _) = envelope.open(PAYLOAD_TYPE, &keys).map_err(|reason| CommandRefusal::NotSignedByTenant {
            tenant,
            command: id,
            reason,
        })?;
        Ok(Verified { command: document::decode(&payload)?, digest: Digest::of(&payload) })
    }
}

const _: () = assert!(Envelope::MOST_BYTES > Command::MOST_BYTES / 3 * 4 + 1024);
