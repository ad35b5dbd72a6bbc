# The first three stages make /opt/program, a virtualenv, and /package, the program that goes into it; the fourth is Debian with
# python3 and nginx. The last holds all of that, and no tool to build with.

# By its digest, the base is the same in a year: --build-arg BASE=debian:trixie-slim@sha256:…
ARG BASE=debian:trixie-slim
# No file is younger, so that builds from the same packages make equal layers; a day that stays keeps the layers of what has not
# changed. BuildKit from 0.11 on takes this argument, where it is given, for the times in the image's configuration as well.
ARG SOURCE_DATE_EPOCH=1767225600


FROM ${BASE} AS builder

# pip, setuptools and Cython are Debian's, outside the virtualenv, which then needs no step that removes them; gcc compiles the C
# routines with Python's headers, and brings `strip`.
# hadolint ignore=DL3008 # Debian keeps one version of a package at a time: a build that pins it fails a month later
RUN apt-get update \
  && apt-get install --yes --no-install-recommends \
    cython3 gcc libc6-dev libpython3-dev python3-pip python3-setuptools python3-venv \
  && rm --recursive --force /var/lib/apt/lists/*

# The dependencies before the program: they change least and take longest. Hashes make them the ones that were tested.
COPY requirements.lock /build/
RUN python3 -m venv --without-pip /opt/program \
  && python3 -m pip --python /opt/program/bin/python install --no-cache-dir --no-compile --only-binary :all: \
    --require-hashes --requirement /build/requirements.lock

# Parquet is left out unless it is asked for: its library would make the image half as large again.
ARG PARQUET=false
COPY requirements-parquet.lock /build/
RUN if [ "$PARQUET" = true ]; then \
    python3 -m pip --python /opt/program/bin/python install --no-cache-dir --no-compile --only-binary :all: \
      --require-hashes --requirement /build/requirements-parquet.lock; \
  fi


# The program has a folder of its own, so that a change of it is a layer of kilobytes to push. Debian's setuptools and Cython build
# it, because isolation would fetch those that no lock file names; SciPy's declarations of BLAS are those of the virtualenv, which
# is why this comes before they are taken out. A missing compiler fails here, where the package alone would do without.
FROM builder AS package
ARG SOURCE_DATE_EPOCH
COPY LICENSE README.md pyproject.toml /build/
COPY gaussian_processes /build/gaussian_processes
RUN PYTHONPATH="$(echo /opt/program/lib/python3*/site-packages)" \
  python3 -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /build/wheels /build \
  && python3 -m pip --python /opt/program/bin/python install --no-cache-dir --no-compile --no-deps --prefix /package /build/wheels/*.whl \
  && strip --strip-unneeded /package/lib/python3*/site-packages/gaussian_processes/_native/_routines*.so

# The SageMaker SDK's scripts end without a word where there is no pip, as a command and as a module. This one says why it adds nothing.
RUN printf '%s\n' 'import sys' 'from gaussian_processes.cli import pip' 'if __name__ == "__main__":' '    sys.exit(pip())' \
    >"$(echo /package/lib/python3*/site-packages)/pip.py" \
  && printf '%s\n' '#!/bin/sh' 'exec python -m pip "$@"' >/package/bin/pip3 \
  && chmod +x /package/bin/pip3 \
  && ln --symbolic pip3 /package/bin/pip



FROM builder AS program

# What running does not need: test suites (39 MB), what only a compiler or a type checker reads (4 MB), and symbols for a
# debugger (14 MB). NumPy's OpenBLAS is no twin of SciPy's: it counts in 64 bits and its symbols end in `64_`, where SciPy's
# counts in 32, so a link from one to the other leaves symbols undefined, and both stay. Their Fortran runtimes are equal to
# the byte, and are linked (3 MB).
WORKDIR /opt/program
RUN find . -type d \( -name test -o -name tests \) -prune -exec rm --recursive {} + \
  && find . -type f -regex '.*\.\(a\|c\|cpp\|h\|hpp\|pxd\|pyi\|pyx\)' -delete \
  && find . -type f -name '*.so*' -exec strip --strip-unneeded {} + \
  && for library in lib/python3*/site-packages/numpy.libs/*; do \
    twin="${library%/numpy.libs/*}/scipy.libs/${library##*/}"; \
    if cmp --quiet "$library" "$twin"; then ln --symbolic --relative --force "$library" "$twin"; fi; \
  done

# Every library is loaded with all its symbols once: what the step above broke must fail here and not in a job.
RUN find . -name '*.so*' -exec /opt/program/bin/python -B -c \
  'import ctypes, os, sys; [ctypes.CDLL(name, os.RTLD_NOW) for name in sys.argv[1:]]' {} +

COPY --from=package /package /package

# Bytecode of what `serve` imports, and of nothing else: 8 MB, for which an endpoint need not compile before it answers. It holds
# the times of its sources, which are set before; sets have the same order in every build. Both folders then lie as in the image,
# since a folder that COPY makes, such as /opt, has the time of the build, and one that it copies has its own.
ARG SOURCE_DATE_EPOCH
RUN find /opt/program /package -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} + \
  && PYTHONHASHSEED=0 PYTHONPATH="$(echo /package/lib/python3*/site-packages)" /opt/program/bin/python -c \
    'import gaussian_processes.serving.main, gaussian_processes.serving.worker, gunicorn.app.wsgiapp' \
  && mkdir --parents /dependencies/opt /own/opt \
  && mv /opt/program /dependencies/opt/program \
  && mv /package /own/opt/program \
  && find /dependencies /own -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +


FROM ${BASE} AS system
ARG SOURCE_DATE_EPOCH

# python3-minimal would be 11 MB less, but has no ctypes, decimal or multiprocessing; nginx-light is nginx and a module. openssl
# makes the certificates of hosts that share a secret; LightGBM is linked to libgomp.
# hadolint ignore=DL3008 # as above
RUN apt-get update \
  && PYTHONHASHSEED=0 apt-get install --yes --no-install-recommends libgomp1 nginx openssl python3 \
  && rm --recursive --force /var/lib/apt/lists/*

# In a folder of its own, since what the engine mounts while a step runs changes the root. What installing leaves goes: caches, logs
# and backups of package managers. Nothing in the image may become another user, so nothing has a setuid or setgid bit.
RUN mkdir --parents /image/dev /image/proc /image/sys \
  && find / -mindepth 1 -maxdepth 1 ! -name dev ! -name image ! -name proc ! -name sys \
    -exec cp --archive --target-directory=/image {} + \
  && rm --force /image/etc/hosts /image/etc/resolv.conf /image/etc/*- /image/var/lib/dpkg/*-old \
  && find /image/run /image/tmp /image/var/cache /image/var/log /image/var/tmp -type f -delete \
  && find /image -perm /6000 -exec chmod a-s {} + \
  && find /image -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +


# Copied, and not built upon: what is removed above then takes no room in a layer beneath, and the layer has the times of the files.
FROM scratch

# SageMaker lets a container into an inference pipeline only if it promises to listen where SAGEMAKER_BIND_TO_PORT says.
# With the second label it may be a multi-model endpoint.
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true \
  com.amazonaws.sagemaker.capabilities.multi-models=true

# Three layers: Debian's packages and the dependencies, which a registry then has for good, and the program.
COPY --from=system /image /
COPY --from=program /dependencies /
COPY --from=program /own /

# Logs appear as they are written, and nothing is written beside the sources: the root may be read-only.
ENV PATH=/opt/program/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  PYTHONDONTWRITEBYTECODE=1 \
  PYTHONUNBUFFERED=1

# Where `serve` listens by default.
EXPOSE 8080

# Asks `serve` for /ping, and takes every other program, such as `train`, for well. A large model may be minutes in loading.
HEALTHCHECK --interval=30s --timeout=10s --start-period=10m CMD ["python", "-m", "gaussian_processes.serving.health"]

# No entrypoint: SageMaker says `train` or `serve`, a person may say `python` or `bash`, and who says nothing trains.
CMD ["train"]
