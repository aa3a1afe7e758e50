// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/make_sample/sample_model.h"

#include "core/base/atomic_file.h"

#include <cstdio>
#include <filesystem>

int main(int argc, char** argv)
{
    if (argc != 2) {
        std::fputs("usage: quantloupe-make-sample FOLDER\n", stderr);
        return 2;
    }
    const std::filesystem::path folder = argv[1];
    const auto model = quantloupe::makeSampleModel();
    for (const auto& [name, content] :
        {std::pair("model.safetensors", &model.safetensors), std::pair("config.json", &model.config)}) {
        if (const auto done = quantloupe::writeFileAtomically(folder / name, *content); !done) {
            std::fprintf(stderr, "%s\n", quantloupe::describe(done.error()).c_str());
            return 1;
        }
    }
    return 0;
}
