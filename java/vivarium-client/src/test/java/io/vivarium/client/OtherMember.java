package io.vivarium.client;

import io.grpc.BindableService;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.okhttp.OkHttpServerBuilder;
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

/** What no member of this release does at a test's bidding: one of another release, one that loses its log. */
final class OtherMember {
    private OtherMember() {}

    static OkHttpServerBuilder builder() {
        return OkHttpServerBuilder.forPort(0, InsecureServerCredentials.create());
    }

    /** It has sessions, and these services. */
    static Server start(BindableService... services) throws IOException {
        OkHttpServerBuilder builder = builder().addService(new Sessions());
        for (BindableService service : services) {
            builder.addService(service);
        }
        return builder.build().start();
    }

    private static final SessionRef SESSION = SessionRef.newBuilder().setId(7).build();

    private static final class Sessions extends SessionServiceGrpc.SessionServiceImplBase {
        @Override
        public void open(OpenRequest request, StreamObserver<OpenResponse> answer) {
            answer.onNext(OpenResponse.newBuilder().setSession(SESSION).setTimeoutMs(10_000).build());
            answer.onCompleted();
        }

        @Override
        public StreamObserver<KeepAliveRequest> keepAlive(StreamObserver<KeepAliveResponse> answers) {
            return new StreamObserver<>() {
                @Override
                public void onNext(KeepAliveRequest sign) {
                    answers.onNext(KeepAliveResponse.newBuilder().setSequence(sign.getSequence()).build());
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
