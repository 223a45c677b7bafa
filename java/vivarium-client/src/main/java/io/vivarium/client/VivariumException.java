package io.vivarium.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.Collections;
import java.util.HashMap;
import java.util.Map;

/**
 * Why a call of the client failed, as a program tells it apart ({@link #kind()}, {@link #reason()}) and as a
 * person reads it.
 */
public final class VivariumException extends RuntimeException {
    private static final long serialVersionUID = 1L;
    private static final String DOMAIN = "vivarium";

    /** What sort of failure it is. */
    public enum Kind {
        /** Nothing was asked of anybody: what the caller gave is not right, or is more than a limit allows. */
        INVALID_OPTIONS,
        /** No member serves, as far as could be found out within the connect timeout. */
        UNREACHABLE,
        /** The ensemble answered so instead of doing it: {@link VivariumException#reason()} says why. */
        REFUSED,
        /** The call was given up when its time was over. */
        TIMED_OUT,
        /** The session has ended, with all that was bound to it. */
        SESSION_LOST,
        /** The client, or what was asked, is closed. */
        CLOSED,
        /** A copy of a path would hold more than it may, and is not kept up to date any more. */
        CACHE_FULL,
        /** The calling thread was interrupted; its flag is set again. */
        INTERRUPTED,
        /** The member runs a program that does not know this call: upgrade the servers first. */
        UNSUPPORTED,
        /** Something between this client and the ensemble failed. */
        TRANSPORT
    }

    private final Kind kind;
    private final Reason reason;
    private final String reasonName;
    private final HashMap<String, String> details;
    private final boolean mayBeDone;
    private final boolean passing;

    private VivariumException(
            Kind kind,
            String message,
            Reason reason,
            String reasonName,
            Map<String, String> details,
            boolean mayBeDone,
            boolean passing,
            Throwable cause) {
        super(message, cause);
        this.kind = kind;
        this.reason = reason;
        this.reasonName = reasonName;
        this.details = new HashMap<>(details);
        this.mayBeDone = mayBeDone;
        this.passing = passing;
    }

    private static VivariumException plain(Kind kind, String message, boolean mayBeDone, Throwable cause) {
        return new VivariumException(
                kind, message, null, null, Collections.<String, String>emptyMap(), mayBeDone, false, cause);
    }

    static VivariumException invalid(String message) {
        return plain(Kind.INVALID_OPTIONS, message, false, null);
    }

    static VivariumException invalid(String message, Throwable cause) {
        return plain(Kind.INVALID_OPTIONS, message, false, cause);
    }

    static VivariumException unreachable(String message) {
        return plain(Kind.UNREACHABLE, "no member answers (" + message + ")", false, null);
    }

    static VivariumException timedOut(boolean sent, Throwable last) {
        String after = last == null ? "" : "; at last: " + last.getMessage();
        return plain(Kind.TIMED_OUT, "no answer in time" + after, sent, last);
    }

    static VivariumException sessionLost() {
        return plain(Kind.SESSION_LOST, "the session is lost, with all that was bound to it", true, null);
    }

    static VivariumException closed() {
        return plain(Kind.CLOSED, "the client, or what was asked, is closed", false, null);
    }

    static VivariumException cacheFull(long limit, String what) {
        return plain(Kind.CACHE_FULL, "a copy may hold " + limit + " " + what + ", and there are more", false, null);
    }

    /** Sets the thread's flag again. */
    static VivariumException interrupted(boolean sent, InterruptedException cause) {
        Thread.currentThread().interrupt();
        return plain(Kind.INTERRUPTED, "interrupted while waiting for an answer", sent, cause);
    }

    static VivariumException refused(Reason reason, String message) {
        return new VivariumException(
                Kind.REFUSED,
                message + " (" + reason.name() + ")",
                reason,
                reason.name(),
                Collections.<String, String>emptyMap(),
                false,
                false,
                null);
    }

    /** What may come to something else elsewhere. */
    static VivariumException broken(String message) {
        return new VivariumException(
                Kind.TRANSPORT, message, null, null, Collections.<String, String>emptyMap(), true, true, null);
    }

    /** What a gRPC status means, of a call to this member. */
    static VivariumException of(Status status, Throwable thrown, String endpoint, String method) {
        ErrorInfo info = thrown == null ? null : info(thrown);
        String text = status.getDescription() == null ? status.getCode().name() : status.getDescription();
        if (info != null && DOMAIN.equals(info.getDomain())) {
            Reason reason = Reason.of(info.getReason());
            return new VivariumException(
                    Kind.REFUSED,
                    text + " (" + info.getReason() + ")",
                    reason,
                    info.getReason(),
                    info.getMetadataMap(),
                    reason == Reason.NO_LEADER,
                    reason.isPassing(),
                    null);
        }
        Status.Code code = status.getCode();
        if (code == Status.Code.UNIMPLEMENTED) {
            return plain(
                    Kind.UNSUPPORTED,
                    "the member at " + endpoint + " does not know " + method + " (" + text + "): it is no vivarium"
                            + " member, or its program is older than this client; upgrade the servers first",
                    false,
                    thrown);
        }
        boolean passing = code == Status.Code.UNAVAILABLE || code == Status.Code.UNKNOWN
                || code == Status.Code.CANCELLED || code == Status.Code.INTERNAL;
        return new VivariumException(
                Kind.TRANSPORT,
                code + ": " + withCauses(text, status.getCause()),
                null,
                null,
                Collections.<String, String>emptyMap(),
                true,
                passing,
                thrown);
    }

    static VivariumException of(StatusRuntimeException thrown, String endpoint, String method) {
        return of(thrown.getStatus(), thrown, endpoint, method);
    }

    private static ErrorInfo info(Throwable thrown) {
        com.google.rpc.Status status = StatusProto.fromThrowable(thrown);
        if (status == null) {
            return null;
        }
        for (Any detail : status.getDetailsList()) {
            if (detail.is(ErrorInfo.class)) {
                try {
                    return detail.unpack(ErrorInfo.class);
                } catch (InvalidProtocolBufferException notOne) {
                    return null;
                }
            }
        }
        return null;
    }

    /** "io exception" alone helps nobody. */
    private static String withCauses(String text, Throwable cause) {
        StringBuilder all = new StringBuilder(text);
        for (Throwable each = cause; each != null; each = each.getCause()) {
            String words = each.getMessage() == null ? each.getClass().getSimpleName() : each.getMessage();
            if (all.indexOf(words) < 0) {
                all.append(": ").append(words);
            }
        }
        return all.toString();
    }

    public Kind kind() {
        return kind;
    }

    /** Why the ensemble refused; {@code null} unless the kind is {@link Kind#REFUSED}. */
    public Reason reason() {
        return reason;
    }

    /** The name of the reason as the ensemble said it, also of one that this client does not know. */
    public String reasonName() {
        return reasonName;
    }

    /** What else is told: {@code version}, {@code session}, {@code limit}, {@code epoch}. */
    public Map<String, String> details() {
        return Collections.unmodifiableMap(details);
    }

    /** Whether a write that failed so may have taken effect all the same. */
    public boolean mayBeDone() {
        return mayBeDone;
    }

    /** Whether the ensemble refused for this reason. */
    public boolean is(Reason other) {
        return reason == other && other != null;
    }

    boolean is(Kind other) {
        return kind == other;
    }

    /** Whether the same call may come to something else, here or at another member. */
    boolean isPassing() {
        return passing;
    }

    /** The same failure with the stack of whoever is told of it now. */
    VivariumException again() {
        return again(false);
    }

    /** As {@link #again()}, of a call that may be done by now if it was {@code sent}. */
    VivariumException again(boolean sent) {
        return new VivariumException(
                kind, getMessage(), reason, reasonName, details, mayBeDone || sent, passing, this);
    }
}
