package io.vivarium.springboot;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** One of several instances, of which one at a time is the master. */
@SpringBootApplication
public class MasterApplication {
    public static void main(String[] arguments) {
        SpringApplication.run(MasterApplication.class, arguments);
    }
}
