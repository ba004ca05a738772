/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_AUDIT_POWER_STATE_H
#define TESTS_UNIT_AUDIT_POWER_STATE_H

/* How a recorded disk (power_disk.h) may look after the power went. */

#include "tests/unit/audit/power_disk.h"

/* What became of the calls that nothing has synced. */
enum loss {
	LOSS_ALL,	   /* none of them is there */
	LOSS_NONE,	   /* all are */
	LOSS_SOME,	   /* any of them */
	LOSS_IN_ORDER,	   /* of the directory the first so many; of files any */
	LOSS_TORN,	   /* any, and any sectors of each */
	LOSS_TORN_GARBAGE, /* as above, with rubbish where something is missing */
	N_LOSSES,
};

static inline void file_resize(struct disk_file *file, size_t size)
{
	if (size > file->room) {
		file->bytes = mem_resize(file->bytes, size, 1);
		memset(file->bytes + file->room, 0, size - file->room);
		file->room = size;
	}
	if (size < file->size)
		memset(file->bytes + size, 0, file->size - size);
	file->size = size;
}

static inline void put_torn(struct disk_file *file, const struct disk_op *op, enum loss loss,
			    uint64_t *random)
{
	for (size_t at = op->at; at < op->at + op->n;) {
		size_t end = (at / DISK_SECTOR + 1) * DISK_SECTOR;
		uint32_t dice = disk_random(random) % 8;

		if (end > op->at + op->n)
			end = op->at + op->n;
		if (dice < 4)
			memcpy(file->bytes + at, op->bytes + (at - op->at), end - at);
		else if (dice == 4 && loss == LOSS_TORN_GARBAGE)
			memset(file->bytes + at, (int)(disk_random(random) & 0xff), end - at);
		at = end;
	}
}

static inline void file_apply(struct disk_file *file, const struct disk_op *op, enum loss loss,
			      uint64_t *random)
{
	if (op->kind == DISK_SIZE) {
		file_resize(file, op->n);
		return;
	}
	if (file->size < op->at + op->n)
		file_resize(file, op->at + op->n);
	if (loss == LOSS_TORN || loss == LOSS_TORN_GARBAGE)
		put_torn(file, op, loss, random);
	else
		memcpy(file->bytes + op->at, op->bytes, op->n);
}

static inline void dir_apply(struct disk *state, const struct disk_op *op)
{
	if (op->kind == DISK_RENAME || op->kind == DISK_UNLINK)
		entry_drop(state->entries, state->n_entries, op->name);
	if (op->kind != DISK_UNLINK)
		entry_put(state->entries, &state->n_entries,
			  op->kind == DISK_RENAME ? op->to : op->name, op->file);
}

static inline bool is_of_file(const struct disk_op *op, int file)
{
	return op->file == file && (op->kind == DISK_WRITE || op->kind == DISK_SIZE);
}

static inline bool is_of_dir(const struct disk_op *op)
{
	return op->kind == DISK_CREATE || op->kind == DISK_RENAME || op->kind == DISK_UNLINK;
}

static inline bool survives(enum loss loss, uint64_t *random)
{
	return loss == LOSS_NONE || (loss != LOSS_ALL && disk_random(random) % 2 == 0);
}

/* All up to here is synced; of what follows some. */
static inline void file_build(const struct disk *disk, size_t cut, int file, enum loss loss,
			      uint64_t *random, struct disk_file *out)
{
	size_t synced = 0;

	for (size_t i = 0; i < cut; i++) {
		if (disk->ops[i].kind == DISK_SYNC && disk->ops[i].file == file)
			synced = i;
	}
	for (size_t i = 0; i < cut; i++) {
		if (!is_of_file(&disk->ops[i], file))
			continue;
		if (i < synced)
			file_apply(out, &disk->ops[i], LOSS_NONE, random);
		else if (survives(loss, random))
			file_apply(out, &disk->ops[i], loss, random);
	}
}

static inline void dir_build(const struct disk *disk, size_t cut, enum loss loss, uint64_t *random,
			     struct disk *state)
{
	size_t synced = 0, last = cut;

	for (size_t i = 0; i < cut; i++) {
		if (disk->ops[i].kind == DISK_SYNC_DIR)
			synced = i;
	}
	if (loss == LOSS_IN_ORDER) {
		last = synced + disk_random(random) % (cut - synced + 1);
		loss = LOSS_NONE;
	}
	for (size_t i = 0; i < last; i++) {
		if (is_of_dir(&disk->ops[i]) && (i < synced || survives(loss, random)))
			dir_apply(state, &disk->ops[i]);
	}
}

/* The disk as it may be when the power went before call number cut. */
static inline void state_build(const struct disk *disk, size_t cut, enum loss loss,
			       uint64_t *random, struct disk *state)
{
	*state = (struct disk){ .n_files = disk->n_files, .n_entries = disk->n_entries };
	memcpy(state->entries, disk->entries, sizeof(state->entries));
	dir_build(disk, cut, loss, random, state);
	for (int i = 0; i < state->n_entries; i++) {
		int file = state->entries[i].file;

		if (state->entries[i].name[0] == '\0' || state->files[file].bytes != NULL)
			continue;
		file_resize(&state->files[file], disk->files[file].size);
		if (disk->files[file].size > 0)
			memcpy(state->files[file].bytes, disk->files[file].bytes,
			       disk->files[file].size);
		file_build(disk, cut, file, loss, random, &state->files[file]);
	}
}

static inline void disk_fini(struct disk *disk)
{
	for (int i = 0; i < DISK_MAX_FILES; i++)
		free(disk->files[i].bytes);
	for (size_t i = 0; i < disk->n_ops; i++)
		free(disk->ops[i].bytes);
	free(disk->ops);
	*disk = (struct disk){ 0 };
}

static inline void dir_empty(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir != NULL)
		closedir(dir);
}

/* Its files, and nothing else, in a directory. */
static inline void state_write(const struct disk *state, const char *path)
{
	dir_empty(path);
	for (int i = 0; i < state->n_entries; i++) {
		const struct disk_file *file = &state->files[state->entries[i].file];
		char name[128];
		int fd;

		if (state->entries[i].name[0] == '\0')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, state->entries[i].name);
		fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
		assert_true(fd >= 0);
		assert_int_equal(write(fd, file->bytes, file->size), file->size);
		close(fd);
	}
}

#endif
