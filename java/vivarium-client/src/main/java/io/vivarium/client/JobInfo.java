package io.vivarium.client;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/** What a node tells of a job. Kept like {@link NodeInfo}. */
public final class JobInfo {
    final io.vivarium.v1.JobInfo message;

    JobInfo(io.vivarium.v1.JobInfo message) {
        this.message = message;
    }

    public static Builder builder() {
        return new Builder();
    }

    public List<String> applicationIds() {
        return Collections.unmodifiableList(new ArrayList<>(message.getApplicationIdsList()));
    }

    /** {@code null} where it is not told, as with the other texts. */
    public String jobId() {
        return message.hasJobId() ? message.getJobId() : null;
    }

    public String engine() {
        return message.hasEngine() ? message.getEngine() : null;
    }

    public String state() {
        return message.hasState() ? message.getState() : null;
    }

    public Map<String, String> labels() {
        return Collections.unmodifiableMap(message.getLabelsMap());
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof JobInfo && ((JobInfo) other).message.equals(message);
    }

    @Override
    public int hashCode() {
        return message.hashCode();
    }

    /** What is not set is not told. */
    public static final class Builder {
        private final io.vivarium.v1.JobInfo.Builder message = io.vivarium.v1.JobInfo.newBuilder();

        private Builder() {}

        /** 1,000 of them at most. */
        public Builder applicationId(String id) {
            message.addApplicationIds(id);
            return this;
        }

        public Builder jobId(String jobId) {
            message.setJobId(jobId);
            return this;
        }

        public Builder engine(String engine) {
            message.setEngine(engine);
            return this;
        }

        public Builder state(String state) {
            message.setState(state);
            return this;
        }

        public Builder label(String name, String value) {
            message.putLabels(name, value);
            return this;
        }

        public JobInfo build() {
            return new JobInfo(message.build());
        }
    }
}
