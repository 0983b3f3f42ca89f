/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create_record.h - what `create` writes down of a container for the commands that follow.
 */
#ifndef BULKHEAD_RUNTIME_CREATE_RECORD_H
#define BULKHEAD_RUNTIME_CREATE_RECORD_H

struct create_request;
struct err;
struct oci_store;

/* What is known before anything is made; of the caller's. */
struct oci_store *create_record_new(const struct create_request *request);

/* The configuration into the state directory. */
int create_record_copy_config(const struct create_request *request, int dirfd, struct err *err);

/* A number that a later command wants to know. */
void create_record_note(struct oci_store *store, const char *name, int value);

#endif
