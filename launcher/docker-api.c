/* SPDX-License-Identifier: MIT */
#include "docker-api.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

#define DEFAULT_SOCKET "/var/run/docker.sock"

/* No answer that we read is anywhere near that long. */
#define ANSWER_BYTES_MAX ((size_t)16 * 1024 * 1024)

/* Before each piece of a container's output: which stream, three zeros, the length. */
#define FRAME_HEADER_BYTES 8

struct docker_api {
        CURL *curl;
        struct curl_slist *headers;
        char *socket;
        char error[CURL_ERROR_SIZE];
};

/* A body as it arrives. */
struct bytes {
        char *text;
        size_t n;
};

static size_t on_bytes(char *piece, size_t size, size_t n, void *userdata)
{
        struct bytes *bytes = userdata;
        char *text;

        n *= size;
        if (n > ANSWER_BYTES_MAX - bytes->n)
                return 0;
        text = realloc(bytes->text, bytes->n + n + 1);
        if (!text)
                return 0;
        memcpy(text + bytes->n, piece, n);
        bytes->text = text;
        bytes->n += n;
        bytes->text[bytes->n] = '\0';
        return n;
}

/* Makes a request and reads the whole answer. Returns 0, -ENOTCONN with the reason in *ret. */
static int perform(struct docker_api *api, const char *method, const char *path,
                   const char *request, struct bytes *ret_body, struct docker_answer *ret)
{
        _cleanup_free_ char *url = NULL;
        CURLcode result;
        long cause = 0;

        /* The engine's own version of the API: each refuses those that are too old or too new. */
        if (asprintf(&url, "http://docker%s", path) < 0)
                return -ENOMEM;
        (void)curl_easy_setopt(api->curl, CURLOPT_URL, url);
        (void)curl_easy_setopt(api->curl, CURLOPT_CUSTOMREQUEST, method);
        if (strcmp(method, "POST") == 0) {
                (void)curl_easy_setopt(api->curl, CURLOPT_POST, 1L);
                (void)curl_easy_setopt(api->curl, CURLOPT_POSTFIELDS, request ? request : "");
        } else
                (void)curl_easy_setopt(api->curl, CURLOPT_HTTPGET, 1L);
        (void)curl_easy_setopt(api->curl, CURLOPT_WRITEDATA, ret_body);
        api->error[0] = '\0';
        result = curl_easy_perform(api->curl);
        if (result == CURLE_OK) {
                (void)curl_easy_getinfo(api->curl, CURLINFO_RESPONSE_CODE, &ret->status);
                return 0;
        }
        (void)curl_easy_getinfo(api->curl, CURLINFO_OS_ERRNO, &cause);
        (void)snprintf(ret->reason, sizeof(ret->reason), "unix://%s: %s", api->socket,
                       result == CURLE_COULDNT_CONNECT && cause != 0 ? strerror((int)cause)
                       : *api->error                                 ? api->error
                                                                     : curl_easy_strerror(result));
        return -ENOTCONN;
}

int docker_api_call(struct docker_api *api, const char *method, const char *path,
                    const json_t *body, struct docker_answer *ret)
{
        _cleanup_free_ char *request = NULL;
        struct bytes bytes = {0};
        const char *message;
        int r;

        *ret = (struct docker_answer){0};
        if (body) {
                request = json_dumps(body, JSON_COMPACT);
                if (!request)
                        return -ENOMEM;
        }
        r = perform(api, method, path, request, &bytes, ret);
        if (r < 0) {
                free(bytes.text);
                return r;
        }
        if (bytes.n > 0)
                ret->body = json_loadb(bytes.text, bytes.n, JSON_ALLOW_NUL, NULL);
        if (ret->status >= 300) {
                message = json_string_value(json_object_get(ret->body, "message"));
                if (message)
                        (void)snprintf(ret->reason, sizeof(ret->reason), "%s", message);
                else
                        (void)snprintf(ret->reason, sizeof(ret->reason), "HTTP status %ld",
                                       ret->status);
        }
        free(bytes.text);
        return 0;
}

void docker_answer_done(struct docker_answer *answer)
{
        json_decref(answer->body);
        *answer = (struct docker_answer){0};
}

/* --- what a container has written ---------------------------------------------------------- */

static void write_all(int fd, const char *bytes, size_t n)
{
        while (n > 0) {
                ssize_t m = write(fd, bytes, n);

                if (m < 0 && errno == EINTR)
                        continue;
                if (m <= 0)
                        return;
                bytes += m;
                n -= (size_t)m;
        }
}

void docker_api_logs(struct docker_api *api, const char *container, const char *query, int to_fd)
{
        struct docker_answer answer = {0};
        _cleanup_free_ char *path = NULL;
        struct bytes bytes = {0};
        size_t done = 0;

        if (asprintf(&path, "/containers/%s/logs?%s", container, query) < 0)
                return;
        if (perform(api, "GET", path, NULL, &bytes, &answer) < 0 || answer.status != 200)
                bytes.n = 0;
        while (bytes.n - done > FRAME_HEADER_BYTES) {
                const uint8_t *header = (const uint8_t *)bytes.text + done;
                size_t length = (size_t)header[4] << 24 | (size_t)header[5] << 16 |
                                (size_t)header[6] << 8 | header[7];

                done += FRAME_HEADER_BYTES;
                if (length > bytes.n - done)
                        length = bytes.n - done;
                write_all(to_fd, bytes.text + done, length);
                done += length;
        }
        free(bytes.text);
}

/* --- beginning and end --------------------------------------------------------------------- */

char *docker_api_escape(const char *name)
{
        char *escaped = curl_easy_escape(NULL, name, 0), *copy;

        if (!escaped)
                return NULL;
        copy = strdup(escaped);
        curl_free(escaped);
        return copy;
}

/* Returns the path of the engine's socket, or NULL if there is none. */
static const char *socket_path(void)
{
        static const char prefix[] = "unix://";
        const char *host = getenv("DOCKER_HOST");

        if (!host || !*host)
                return DEFAULT_SOCKET;
        return strncmp(host, prefix, strlen(prefix)) == 0 ? host + strlen(prefix) : NULL;
}

int docker_api_new(struct docker_api **ret)
{
        const char *path = socket_path();
        struct docker_api *api;

        if (!path)
                return -EINVAL;
        /* Nothing here is encrypted: that saves the set-up of a library. */
        if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK)
                return -ENOMEM;
        api = calloc(1, sizeof(*api));
        if (!api)
                return -ENOMEM;
        api->socket = strdup(path);
        api->curl = curl_easy_init();
        api->headers = curl_slist_append(NULL, "Content-Type: application/json");
        if (!api->socket || !api->curl || !api->headers ||
            curl_easy_setopt(api->curl, CURLOPT_UNIX_SOCKET_PATH, api->socket) != CURLE_OK) {
                docker_api_free(api);
                return -ENOMEM;
        }
        (void)curl_easy_setopt(api->curl, CURLOPT_HTTPHEADER, api->headers);
        (void)curl_easy_setopt(api->curl, CURLOPT_WRITEFUNCTION, on_bytes);
        (void)curl_easy_setopt(api->curl, CURLOPT_ERRORBUFFER, api->error);
        (void)curl_easy_setopt(api->curl, CURLOPT_NOSIGNAL, 1L);
        (void)curl_easy_setopt(api->curl, CURLOPT_NOPROXY, "*");
        *ret = api;
        return 0;
}

void docker_api_free(struct docker_api *api)
{
        if (!api)
                return;
        if (api->curl)
                curl_easy_cleanup(api->curl);
        curl_slist_free_all(api->headers);
        free(api->socket);
        free(api);
}
