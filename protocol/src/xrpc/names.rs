//! Error names on the wire, one constant each, so that no name is spelled twice.

// Names any method may answer with.

/// `InvalidRequest`, 400: the request does not fit the method's lexicon.
pub const INVALID_REQUEST: &str = "InvalidRequest";
/// `AuthenticationRequired`, 401: no credentials.
pub const AUTHENTICATION_REQUIRED: &str = "AuthenticationRequired";
/// `AuthMissing`, 401: no credentials, as the reference PDS names it.
pub const AUTH_MISSING: &str = "AuthMissing";
/// `Forbidden`, 403: credentials that do not suffice.
pub const FORBIDDEN: &str = "Forbidden";
/// `XRPCNotSupported`, 404: the server does not speak XRPC for this method.
pub const XRPC_NOT_SUPPORTED: &str = "XRPCNotSupported";
/// `NotAcceptable`, 406.
pub const NOT_ACCEPTABLE: &str = "NotAcceptable";
/// `PayloadTooLarge`, 413.
pub const PAYLOAD_TOO_LARGE: &str = "PayloadTooLarge";
/// `UnsupportedMediaType`, 415.
pub const UNSUPPORTED_MEDIA_TYPE: &str = "UnsupportedMediaType";
/// `RateLimitExceeded`, 429.
pub const RATE_LIMIT_EXCEEDED: &str = "RateLimitExceeded";
/// `InternalServerError`, 500: details stay in the log.
pub const INTERNAL_SERVER_ERROR: &str = "InternalServerError";
/// `MethodNotImplemented`, 501: unknown method.
pub const METHOD_NOT_IMPLEMENTED: &str = "MethodNotImplemented";
/// `UpstreamFailure`, 502.
pub const UPSTREAM_FAILURE: &str = "UpstreamFailure";
/// `NotEnoughResources`, 503.
pub const NOT_ENOUGH_RESOURCES: &str = "NotEnoughResources";
/// `UpstreamTimeout`, 504.
pub const UPSTREAM_TIMEOUT: &str = "UpstreamTimeout";
/// `NotFound`: a named thing does not exist.
pub const NOT_FOUND: &str = "NotFound";

// Sessions and accounts.

/// `ExpiredToken`, 400: clients refresh their session on this name.
pub const EXPIRED_TOKEN: &str = "ExpiredToken";
/// `InvalidToken`, 400.
pub const INVALID_TOKEN: &str = "InvalidToken";
/// `AccountTakedown`: the account was taken down by moderators.
pub const ACCOUNT_TAKEDOWN: &str = "AccountTakedown";
/// `AccountNotFound`.
pub const ACCOUNT_NOT_FOUND: &str = "AccountNotFound";
/// `AccountDeactivated`: the account is not active.
pub const ACCOUNT_DEACTIVATED: &str = "AccountDeactivated";
/// `AuthFactorTokenRequired`: sign-in needs the code that was mailed.
pub const AUTH_FACTOR_TOKEN_REQUIRED: &str = "AuthFactorTokenRequired";
/// `InvalidHandle`.
pub const INVALID_HANDLE: &str = "InvalidHandle";
/// `HandleNotAvailable`.
pub const HANDLE_NOT_AVAILABLE: &str = "HandleNotAvailable";
/// `UnsupportedDomain`.
pub const UNSUPPORTED_DOMAIN: &str = "UnsupportedDomain";
/// `UnresolvableDid`.
pub const UNRESOLVABLE_DID: &str = "UnresolvableDid";
/// `IncompatibleDidDoc`.
pub const INCOMPATIBLE_DID_DOC: &str = "IncompatibleDidDoc";
/// `InvalidPassword`.
pub const INVALID_PASSWORD: &str = "InvalidPassword";
/// `InvalidInviteCode`.
pub const INVALID_INVITE_CODE: &str = "InvalidInviteCode";
/// `InvalidEmail`.
pub const INVALID_EMAIL: &str = "InvalidEmail";
/// `TokenRequired`.
pub const TOKEN_REQUIRED: &str = "TokenRequired";
/// `DuplicateCreate`.
pub const DUPLICATE_CREATE: &str = "DuplicateCreate";
/// `BadExpiration`: a requested token lifetime is out of range.
pub const BAD_EXPIRATION: &str = "BadExpiration";
/// `InsufficientScope`, 403: the session may not do this.
pub const INSUFFICIENT_SCOPE: &str = "InsufficientScope";

// Service authentication.

/// `BadJwt`.
pub const BAD_JWT: &str = "BadJwt";
/// `BadJwtType`.
pub const BAD_JWT_TYPE: &str = "BadJwtType";
/// `JwtExpired`.
pub const JWT_EXPIRED: &str = "JwtExpired";
/// `BadJwtAudience`.
pub const BAD_JWT_AUDIENCE: &str = "BadJwtAudience";
/// `BadJwtLexiconMethod`.
pub const BAD_JWT_LEXICON_METHOD: &str = "BadJwtLexiconMethod";
/// `BadJwtIss`.
pub const BAD_JWT_ISS: &str = "BadJwtIss";
/// `UntrustedIss`.
pub const UNTRUSTED_ISS: &str = "UntrustedIss";
/// `BadJwtSignature`.
pub const BAD_JWT_SIGNATURE: &str = "BadJwtSignature";

// Identity.

/// `HandleNotFound`.
pub const HANDLE_NOT_FOUND: &str = "HandleNotFound";
/// `DidNotFound`.
pub const DID_NOT_FOUND: &str = "DidNotFound";
/// `DidDeactivated`.
pub const DID_DEACTIVATED: &str = "DidDeactivated";

// Repositories, records and blobs.

/// `InvalidSwap`: a compare-and-swap condition did not hold.
pub const INVALID_SWAP: &str = "InvalidSwap";
/// `InvalidRecord`: the record breaks its schema.
pub const INVALID_RECORD: &str = "InvalidRecord";
/// `RecordNotFound`.
pub const RECORD_NOT_FOUND: &str = "RecordNotFound";
/// `RepoNotFound`.
pub const REPO_NOT_FOUND: &str = "RepoNotFound";
/// `RepoTakendown`.
pub const REPO_TAKENDOWN: &str = "RepoTakendown";
/// `RepoSuspended`.
pub const REPO_SUSPENDED: &str = "RepoSuspended";
/// `RepoDeactivated`.
pub const REPO_DEACTIVATED: &str = "RepoDeactivated";
/// `BlobNotFound`.
pub const BLOB_NOT_FOUND: &str = "BlobNotFound";
/// `BlockNotFound`.
pub const BLOCK_NOT_FOUND: &str = "BlockNotFound";
/// `HeadNotFound`.
pub const HEAD_NOT_FOUND: &str = "HeadNotFound";
/// `BlobTooLarge`.
pub const BLOB_TOO_LARGE: &str = "BlobTooLarge";
/// `InvalidMimeType`.
pub const INVALID_MIME_TYPE: &str = "InvalidMimeType";

// Event streams and relays.

/// `FutureCursor`: the cursor is ahead of the stream.
pub const FUTURE_CURSOR: &str = "FutureCursor";
/// `OutdatedCursor`: an `#info` name: the cursor is older than what is kept.
pub const OUTDATED_CURSOR: &str = "OutdatedCursor";
/// `ConsumerTooSlow`.
pub const CONSUMER_TOO_SLOW: &str = "ConsumerTooSlow";
/// `HostNotFound`.
pub const HOST_NOT_FOUND: &str = "HostNotFound";
/// `HostBanned`.
pub const HOST_BANNED: &str = "HostBanned";

// Lexicon resolution.

/// `LexiconNotFound`.
pub const LEXICON_NOT_FOUND: &str = "LexiconNotFound";
