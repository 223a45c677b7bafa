package io.vivarium.client;

import com.google.protobuf.ByteString;
import io.vivarium.v1.RegisterRequest;
import java.nio.charset.StandardCharsets;

/**
 * How an entry is registered: begin with {@link #of}, and change what is to be different. Without a value it is
 * empty; it ends with the session, and is taken over from an earlier run of this client.
 */
public final class Registration {
    private final RegisterRequest.Builder request = RegisterRequest.newBuilder();

    private Registration(String path) {
        request.setPath(path);
    }

    public static Registration of(String path) {
        return new Registration(path);
    }

    /** {@code limits.frame_bytes_max} of the ensemble at most, 1 MiB unless it is set otherwise. */
    public Registration value(byte[] value) {
        request.setValue(ByteString.copyFrom(value));
        return this;
    }

    /** Its UTF-8 bytes. */
    public Registration value(String value) {
        return value(value.getBytes(StandardCharsets.UTF_8));
    }

    /** As a JSON object, which every client reads. */
    public Registration value(NodeInfo node) {
        request.setNode(node.message);
        return this;
    }

    /** As a JSON object, which every client reads. */
    public Registration value(JobInfo job) {
        request.setJob(job.message);
        return this;
    }

    public Registration lifetime(Lifetime lifetime) {
        request.setLifetime(lifetime == Lifetime.PERSISTENT
                ? io.vivarium.v1.Lifetime.LIFETIME_PERSISTENT : io.vivarium.v1.Lifetime.LIFETIME_SESSION);
        return this;
    }

    public Registration onConflict(OnConflict onConflict) {
        io.vivarium.v1.OnConflict value = io.vivarium.v1.OnConflict.ON_CONFLICT_UNSPECIFIED;
        if (onConflict == OnConflict.FAIL) {
            value = io.vivarium.v1.OnConflict.ON_CONFLICT_FAIL;
        } else if (onConflict == OnConflict.TAKE_OVER) {
            value = io.vivarium.v1.OnConflict.ON_CONFLICT_TAKE_OVER;
        }
        request.setOnConflict(value);
        return this;
    }

    /** Only who has proven the same identity may read, change or remove it. */
    public Registration onlyForMe() {
        request.setPrivate(true);
        return this;
    }

    RegisterRequest.Builder request() {
        return request.clone();
    }
}
