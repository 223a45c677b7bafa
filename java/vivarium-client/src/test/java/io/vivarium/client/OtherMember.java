package io.vivarium.client;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import io.grpc.BindableService;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.okhttp.OkHttpServerBuilder;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import io.vivarium.v1.CloseRequest;
import io.vivarium.v1.CloseResponse;
import io.vivarium.v1.KeepAliveRequest;
import io.vivarium.v1.KeepAliveResponse;
import io.vivarium.v1.OpenRequest;
import io.vivarium.v1.OpenResponse;
import io.vivarium.v1.SessionRef;
import io.vivarium.v1.SessionServiceGrpc;
import java.io.IOException;
import java.util.concurrent.atomic.AtomicInteger;

/** What no member of this release does at a test's bidding: one of another release, one that loses its log. */
final class OtherMember {
    private OtherMember() {}

    static OkHttpServerBuilder builder() {
        return OkHttpServerBuilder.forPort(0, InsecureServerCredentials.create());
    }

    /** It has sessions, and these services. */
    static Server start(BindableService... services) throws IOException {
        return start(new Sessions(), services);
    }

    /**
     * One that answers the first sign of life of a stream, and no other; {@code signs}: how many a stream had at most,
     * {@code streams}: how many there were.
     */
    static Server deaf(int timeoutMs, AtomicInteger signs, AtomicInteger streams) throws IOException {
        return start(new Sessions() {
            @Override
            int timeoutMs() {
                return timeoutMs;
            }

            @Override
            boolean answers(KeepAliveRequest sign) {
                boolean first = sign.getSequence() == 1;
                signs.accumulateAndGet((int) sign.getSequence(), Math::max);
                streams.addAndGet(first ? 1 : 0);
                return first;
            }
        });
    }

    static StatusRuntimeException refusal(Reason reason) {
        ErrorInfo info = ErrorInfo.newBuilder().setDomain("vivarium").setReason(reason.name()).build();
        return StatusProto.toStatusRuntimeException(com.google.rpc.Status.newBuilder()
                .setCode(Status.Code.FAILED_PRECONDITION.value())
                .setMessage("why")
                .addDetails(Any.pack(info))
                .build());
    }

    private static Server start(Sessions sessions, BindableService... services) throws IOException {
        OkHttpServerBuilder builder = builder().addService(sessions);
        for (BindableService service : services) {
            builder.addService(service);
        }
        return builder.build().start();
    }

    private static final SessionRef SESSION = SessionRef.newBuilder().setId(7).build();

    private static class Sessions extends SessionServiceGrpc.SessionServiceImplBase {
        int timeoutMs() {
            return 10_000;
        }

        boolean answers(KeepAliveRequest sign) {
            return true;
        }

        @Override
        public void open(OpenRequest request, StreamObserver<OpenResponse> answer) {
            answer.onNext(OpenResponse.newBuilder().setSession(SESSION).setTimeoutMs(timeoutMs()).build());
            answer.onCompleted();
        }

        @Override
        public StreamObserver<KeepAliveRequest> keepAlive(StreamObserver<KeepAliveResponse> answers) {
            return new StreamObserver<>() {
                @Override
                public void onNext(KeepAliveRequest sign) {
                    if (answers(sign)) {
                        answers.onNext(
                                KeepAliveResponse.newBuilder().setSequence(sign.getSequence()).build());
                    }
                }

                @Override
                public void onError(Throwable broken) {}

                @Override
                public void onCompleted() {
                    answers.onCompleted();
                }
            };
        }

        @Override
        public void close(CloseRequest request, StreamObserver<CloseResponse> answer) {
            answer.onNext(CloseResponse.getDefaultInstance());
            answer.onCompleted();
        }
    }
}
