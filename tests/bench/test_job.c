/* SPDX-License-Identifier: Apache-2.0 */
/* Job files: what they mean, and that each mistake in one is reported with its file and line. */
/* varve-test: backend=any root=no */
#include "job/job.h"
#include "job/claim.h"
#include "test.h"

#include <fcntl.h>
#include <unistd.h>

static char error[OPTIONS_ERROR_SIZE];

/* Parse TEXT as the file "t"; with LENGTH 0 to its NUL. */
static int parse_bytes(struct job_set *set, const char *text, size_t length)
{
	int r = job_set_parse(set, "t", text, length ? length : strlen(text), error);

	return r < 0 ? r : job_set_finish(set, error);
}

/* Expect TEXT to be refused with MESSAGE in the explanation. */
static void refused(const char *text, const char *message)
{
	struct job_set set = { 0 };

	*error = '\0';
	ck_assert_msg(parse_bytes(&set, text, 0) < 0, "taken: %s", text);
	ck_assert_msg(strstr(error, message), "%s: told \"%s\", not \"%s\"", text, error, message);
	job_set_destroy(&set);
}

START_TEST(test_meaning)
{
	struct job_set set = { 0 };
	const struct options *a, *b;

	ck_assert_int_eq(
		parse_bytes(
			&set,
			"; a comment\n# another\n[global]\niodepth=8\nruntime=2m\nfilesize=4k-1m\n"
			"[a]\n\trw = churn \r\nnumjobs=3\ntime_based\nrate_iops=100\nthinktime=5\n"
			"[global]\niodepth=16\n[b]\nstonewall\nrwmix=create:60,remove:40\n"
			"percentile_list=50:99.9\nramp_time=500ms\nioengine=ioctl\nioctl.numjobs=7\nvarve.loops=3\n",
			0),
		0);
	ck_assert_uint_eq(set.count, 2);
	a = &set.jobs[0].options;
	b = &set.jobs[1].options;
	ck_assert_str_eq(a->name, "a");
	ck_assert_uint_eq(a->iodepth, 8);
	ck_assert_uint_eq(a->rw, WORKLOAD_CHURN);
	ck_assert_uint_eq(a->numjobs, 3);
	ck_assert_uint_eq(a->runtime, 120000000000ull);
	ck_assert_uint_eq(a->thinktime, 5000);
	ck_assert_uint_eq(a->filesize.low, 4096);
	ck_assert_uint_eq(a->filesize.high, 1 << 20);
	ck_assert(a->time_based && !a->stonewall && b->stonewall);
	ck_assert_uint_eq(b->iodepth, 16);
	ck_assert_uint_eq(b->rw, WORKLOAD_MIX);
	ck_assert_uint_eq(b->mix[BENCH_CREATE], 60);
	ck_assert_uint_eq(b->mix[BENCH_REMOVE], 40);
	ck_assert_uint_eq(b->percentiles.count, 2);
	ck_assert_uint_eq(b->ramp_time, 500000000ull);
	ck_assert_uint_eq(b->numjobs, 7);
	ck_assert_uint_eq(b->loops, 1);
	job_set_destroy(&set);
}
END_TEST

/* Variables of the environment stand for their values, anywhere behind the "=". */
START_TEST(test_variables)
{
	struct job_set set = { 0 };

	ck_assert_int_eq(setenv("VARVE_N", "12", 1), 0);
	ck_assert_int_eq(setenv("VARVE_EMPTY", "", 1), 0);
	ck_assert_int_eq(unsetenv("VARVE_UNSET"), 0);
	ck_assert_int_eq(
		parse_bytes(&set,
			    "[a]\nnumber_ios=${VARVE_N}\niodepth= ${VARVE_EMPTY}3${VARVE_N} \n"
			    "description=$VARVE_N ${open\n",
			    0),
		0);
	ck_assert_uint_eq(set.jobs[0].options.number_ios, 12);
	ck_assert_uint_eq(set.jobs[0].options.iodepth, 312);
	ck_assert_str_eq(set.jobs[0].options.description, "$VARVE_N ${open");
	job_set_destroy(&set);
	refused("[a]\nnumber_ios=${VARVE_UNSET}\n",
		"t:2: ${VARVE_UNSET}: not set in the environment");
	refused("[a]\nnumber_ios=${VARVE_EMPTY}\n", "t:2: number_ios");
}
END_TEST

START_TEST(test_command_line)
{
	struct job_set set = { 0 };

	/*
	 * For jobs of files it wins; before --name it is for all of those, after it for that one.
	 */
	ck_assert_int_eq(job_set_argument(&set, "iodepth", "5", error), 0);
	ck_assert_int_eq(job_set_parse(&set, "t", "[f]\niodepth=9\nloops=2\n", 22, error), 0);
	ck_assert_int_eq(job_set_argument(&set, "name", "x", error), 0);
	ck_assert_int_eq(job_set_argument(&set, "loops", "7", error), 0);
	ck_assert_int_eq(job_set_argument(&set, "name", "y", error), 0);
	ck_assert_int_eq(job_set_argument(&set, "iodepth", "6", error), 0);
	ck_assert_int_eq(job_set_finish(&set, error), 0);
	ck_assert_uint_eq(set.count, 3);
	ck_assert_uint_eq(set.jobs[0].options.iodepth, 5);
	ck_assert_uint_eq(set.jobs[0].options.loops, 2);
	ck_assert_uint_eq(set.jobs[1].options.iodepth, 5);
	ck_assert_uint_eq(set.jobs[1].options.loops, 7);
	ck_assert_uint_eq(set.jobs[2].options.iodepth, 6);
	ck_assert_uint_eq(set.jobs[2].options.loops, 1);
	ck_assert_int_eq(job_set_argument(&set, "nosuch", "6", error), -ENOENT);
	ck_assert_int_eq(job_set_argument(&set, "iodepth", "x", error), -EINVAL);
	job_set_destroy(&set);
}
END_TEST

START_TEST(test_pairs)
{
	struct job_set set = { 0 };
	struct job *job;

	ck_assert_int_eq(
		parse_bytes(
			&set,
			"[a]\npair=varve,ioctl,reference\niodepth=4\nioctl.iodepth=1\nioctl.numjobs=64\n"
			"claim=iops>=2.5,lat_p50/reference<=1.3+100us\n",
			0),
		0);
	job = &set.jobs[0];
	ck_assert_str_eq(job->engines[2], "reference");
	ck_assert_ptr_null(job->engines[3]);
	ck_assert_int_eq(job_select(&set, job, "ioctl", error), 0);
	ck_assert_uint_eq(job->options.iodepth, 1);
	ck_assert_uint_eq(job->options.numjobs, 64);
	ck_assert_int_eq(job_select(&set, job, "varve", error), 0);
	ck_assert_uint_eq(job->options.iodepth, 4);
	ck_assert_uint_eq(job->options.numjobs, 1);
	job_set_destroy(&set);
}
END_TEST

START_TEST(test_claims)
{
	const char *text =
		"iops>=2.5,lat_p50/reference<=1.3+100us,rss_kib<=8192,info:p99_ns<=5e6,snapshot:lat_p99<=1.5";
	struct claim claim;

	ck_assert_int_eq(claim_parse(&text, &claim), 1);
	ck_assert_str_eq(claim.metric, "iops");
	ck_assert(claim.at_least && claim.bound == 2.5 && !*claim.engine);
	ck_assert_int_eq(claim_parse(&text, &claim), 1);
	ck_assert_str_eq(claim.engine, "reference");
	ck_assert(!claim.at_least && claim.bound == 1.3 && claim.extra_ns == 100000);
	ck_assert_int_eq(claim_parse(&text, &claim), 1);
	ck_assert_str_eq(claim.metric, "rss_kib");
	ck_assert_int_eq(claim_parse(&text, &claim), 1);
	ck_assert_str_eq(claim.metric, "info:p99_ns");
	ck_assert(!claim_is_relative(claim.metric) && claim.bound == 5e6);
	ck_assert_int_eq(claim_parse(&text, &claim), 1);
	ck_assert(claim_is_relative(claim.metric));
	ck_assert_int_eq(claim_parse(&text, &claim), 0);
	refused("[a]\nclaim=nosuch:p99_ns<=2\n", "METRIC");
	refused("[a]\nclaim=info:iops>=2\n", "METRIC");
	refused("[a]\nclaim=iops=2\n", "METRIC");
	refused("[a]\nclaim=iops>=\n", "METRIC");
	refused("[a]\nclaim=iops>=2+5us\n", "METRIC");
	refused("[a]\nclaim=rss_kib/ioctl<=2\n", "METRIC");
	refused("[a]\nclaim=lat_p50<=2+5\n", "METRIC");
}
END_TEST

START_TEST(test_refusals)
{
	refused("", "no job");
	refused("[global]\niodepth=2\n", "no job");
	refused("iodepth=2\n", "t:1: iodepth: no section");
	refused("[a]\n\nnosuch=1\n", "t:3: nosuch: no such key");
	refused("[global]\nnosuch\n[a]\n", "t:2: nosuch");
	refused("[a\n", "t:1: a section is written");
	refused("[]\n", "t:1:");
	refused("[a/b]\n", "not a name");
	refused("[a]\niodepth=0\n", "t:2: iodepth=0: out of range");
	refused("[a]\niodepth=-1\n", "t:2: iodepth=-1: does not parse");
	refused("[a]\niodepth=4x\n", "does not parse");
	refused("[a]\niodepth=\n", "t:2: iodepth");
	refused("[a]\niodepth\n", "t:2: iodepth: needs a value");
	refused("[a]\nnumber_ios=99999999999999999999999999\n", "out of range");
	refused("[a]\nsize=18446744073709551615k\n", "out of range");
	refused("[a]\nruntime=999999999999999999999d\n", "out of range");
	refused("[a]\nruntime=5 parsecs\n", "does not parse");
	refused("[a]\nfilesize=8k-4k\n", "does not parse");
	refused("[a]\nrw=randwrite\n", "t:2: rw=randwrite: not one of noop create");
	refused("[a]\nrwmix=create:60,remove:30\n", "sum of 100");
	refused("[a]\nrwmix=create:50,create:50\n", "rwmix");
	refused("[a]\nrw=mix\n", "rw=mix needs rwmix");
	refused("[a]\ntime_based\n", "time_based needs a runtime");
	refused("[a]\ntime_based=2\n", "out of range");
	refused("[a]\npercentile_list=99:50\n", "ascending");
	refused("[a]\npercentile_list=101\n", "percentile_list");
	refused("[a]\npair=varve\n", "not two engines");
	refused("[a]\npair=varve,,ioctl\n", "not two engines");
	refused("[a]\nnosuch.iodepth=2\n", "t:2: nosuch.iodepth: no such key");
	refused("[a]\niodepth=65536\nnumjobs=2\n", "65536");
	refused("[a]\nname=b\n", "t:2: name");
	refused("[a]\ninclude /no/such/file\n", "t:2: /no/such/file: No such file");
}
END_TEST

START_TEST(test_bytes)
{
	struct job_set set = { 0 };
	char *big = test_alloc(JOB_LINE_MAX + 16);

	ck_assert_int_lt(parse_bytes(&set,
				     "[a]\niodepth=1\0"
				     "2\n",
				     17),
			 0);
	ck_assert_ptr_nonnull(strstr(error, "t:2: not text"));
	job_set_destroy(&set);
	ck_assert_int_lt(parse_bytes(&set, "\177ELF\2\1\1", 7), 0);
	job_set_destroy(&set);
	memset(big, 'a', JOB_LINE_MAX + 8);
	refused(big, "t:1: the line is longer");
}
END_TEST

/* Write TEXT to a file NAME in the test's own directory DIR; tell its path. */
static char *file_in(const char *dir, const char *name, const char *text)
{
	char *path = test_path("%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	return path;
}

START_TEST(test_include)
{
	char *dir = test_path("%s/bench-job-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp"),
	     *a, *b, *c;
	struct job_set set = { 0 };

	ck_assert_ptr_nonnull(mkdtemp(dir));
	a = file_in(dir, "a", "[global]\ninclude b\n[x]\n");
	b = file_in(dir, "b", "iodepth=12\n");
	ck_assert_int_eq(job_set_read(&set, a, error), 0);
	ck_assert_int_eq(job_set_finish(&set, error), 0);
	ck_assert_uint_eq(set.jobs[0].options.iodepth, 12);
	job_set_destroy(&set);
	/* A cycle, in one step and in two. */
	file_in(dir, "b", "include a\n");
	ck_assert_int_eq(job_set_read(&set, a, error), -ELOOP);
	ck_assert_ptr_nonnull(strstr(error, "includes itself"));
	job_set_destroy(&set);
	/* A file that includes itself by ever new names, and twice each time. */
	c = file_in(dir, "c", "include ./c\ninclude ././c\n");
	ck_assert_int_eq(job_set_read(&set, c, error), -ELOOP);
	job_set_destroy(&set);
	/* Another file's [global] does not reach this one. */
	file_in(dir, "b", "[global]\niodepth=3\n[y]\n");
	c = file_in(dir, "c", "[z]\n");
	ck_assert_int_eq(job_set_read(&set, b, error), 0);
	ck_assert_int_eq(job_set_read(&set, c, error), 0);
	ck_assert_int_eq(job_set_finish(&set, error), 0);
	ck_assert_uint_eq(set.jobs[0].options.iodepth, 3);
	ck_assert_uint_eq(set.jobs[1].options.iodepth, 1);
	job_set_destroy(&set);
	unlink(a);
	unlink(b);
	unlink(c);
	rmdir(dir);
}
END_TEST

TEST_MAIN_UNIT("job", test_meaning, test_variables, test_command_line, test_pairs, test_claims,
	       test_refusals, test_bytes, test_include)
