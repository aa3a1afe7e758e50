// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/inputs.h"

#include "core/analysis/analyze.h"
#include "core/base/mapped_file.h"
#include "core/base/resources.h"
#include "core/file_formats/file_format.h"
#include "core/study/known_inputs.h"

#include <algorithm>

namespace quantloupe::cli {

Result<ModelPointer> openNamedModel(const Session& session, const std::string& name)
{
    if (name != "sample")
        return openModel(name, session.stop);
    return resourceFolder(session.executable).and_then([&](const std::filesystem::path& folder) {
        return openModel(sampleModel(folder), session.stop);
    });
}

Result<ModelPointer> openModelOf(const Session& session, const StudySnapshot& study, const std::string& name)
{
    auto model = openNamedModel(session, name.empty() ? study.model.path : name);
    if (!model) {
        if (name.empty())
            model.error().reason += "; --model says where the study's model is";
        return model;
    }
    if ((*model)->fingerprint != study.model.fingerprint)
        return failure(ErrorCode::Conflict, (*model)->path.string(), "is another model than the study's");
    return model;
}

Result<std::unique_ptr<Study>> openStudy(const Session& session, const Model& model)
{
    const auto& path = session.options.study;
    if (path.empty())
        return std::unique_ptr<Study>();
    auto study = Study::open(path, model);
    // A study that is in use is no invalid input: the same command works a moment later.
    if (!study && study.error().code == ErrorCode::Conflict) {
        const auto readable = Study::read(path);
        if (readable && (*readable)->model.fingerprint == model.fingerprint)
            study.error().code = ErrorCode::CannotWrite;
    }
    return study;
}

Result<CalibratedModel> openCalibratedModel(const Session& session, const std::string& name)
{
    auto opened = openNamedModel(session, name);
    if (!opened)
        return tl::unexpected(opened.error());
    const auto& model = *opened;
    const auto& path = session.options.study;
    std::error_code ignored;
    if (path.empty() || !std::filesystem::exists(path, ignored))
        return CalibratedModel {.model = model};
    const auto study = Study::read(path);
    if (!study)
        return tl::unexpected(study.error());
    if ((*study)->model.fingerprint != model->fingerprint)
        return failure(ErrorCode::Conflict, path.string(), "belongs to another model");
    return CalibratedModel {
        std::make_shared<const Model>(withKnownInputs(*model, *study, path)), (*study)->calibration};
}

Result<void> requireCalibration(const Model& model, const std::vector<Scheme>& schemes)
{
    for (const auto& scheme : schemes)
        if (auto built = requireBuilt(scheme, calibrationOf(model)); !built)
            return usageError("--scheme " + scheme.toString(),
                built.error().reason
                    + (needsInputs(scheme) ? "; run 'calibrate' into a --study, and name it here" : ""));
    return {};
}

Result<std::vector<Scheme>> parseSchemes(const std::vector<std::string>& texts, Calibration calibration)
{
    std::vector<Scheme> schemes;
    for (const auto& text : texts) {
        const auto plan = LayerPlan::parse(text);
        if (!plan)
            return usageError("--scheme " + text, plan.error().reason);
        if (plan->activations)
            return usageError("--scheme " + text,
                "'/" + plan->activations->toString()
                    + "' is for activations, and here weights alone are measured: evaluate takes both");
        if (auto built = requireBuilt(plan->weights, calibration); !built)
            return usageError("--scheme " + text, built.error().reason);
        if (std::find(schemes.begin(), schemes.end(), plan->weights) == schemes.end())
            schemes.push_back(plan->weights);
    }
    return schemes;
}

Result<Recipe> loadRecipe(const std::filesystem::path& path)
{
    const auto file = MappedFile::open(path);
    if (!file)
        return tl::unexpected(file.error());
    const auto bytes = (*file)->bytes();
    auto recipe = Recipe::fromJson({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.string());
    // To the recipe it is an argument; here it is the content of a file.
    if (!recipe && recipe.error().code == ErrorCode::InvalidArgument)
        recipe.error().code = ErrorCode::Malformed;
    return recipe;
}

void addRecipeOptions(CLI::App& command, RecipeChoice& choice)
{
    auto* file = command.add_option("--recipe", choice.file, "Native recipe (*.recipe.json)")->type_name("FILE");
    command
        .add_option(
            "--scheme", choice.scheme, "Instead of a recipe: one scheme for all but norms, embedding and output head")
        ->type_name("WEIGHTS[/ACTIVATIONS]")
        ->excludes(file);
}

Result<std::optional<Recipe>> chooseRecipe(
    const Session& session, const RecipeChoice& choice, const ModelCatalog& model)
{
    std::optional<Recipe> recipe;
    if (!choice.file.empty()) {
        auto loaded = loadRecipe(choice.file);
        if (!loaded)
            return tl::unexpected(loaded.error());
        recipe = std::move(*loaded);
    } else if (!choice.scheme.empty()) {
        const auto plan = LayerPlan::parse(choice.scheme);
        if (!plan)
            return usageError("--scheme " + choice.scheme, plan.error().reason);
        if (auto built = requireBuilt(plan->weights, Calibration::Given); !built)
            return usageError("--scheme " + choice.scheme, built.error().reason);
        recipe = Recipe::uniform(plan->weights, model);
        recipe->activations = plan->activations;
    } else if (!session.options.study.empty()) {
        const auto study = Study::read(session.options.study);
        if (!study)
            return tl::unexpected(study.error());
        recipe = (*study)->recipe;
    }
    if (recipe && !recipe->fingerprint.empty() && recipe->fingerprint != model.fingerprint)
        session.warn("the recipe was made for another model (fingerprint " + recipe->fingerprint + ", this one has "
            + model.fingerprint + "); its rules are applied by name");
    return recipe;
}

void addWorkloadOptions(CLI::App& command, Workload& workload)
{
    command.add_option("--context", workload.context, "Tokens in the KV cache")
        ->type_name("TOKENS")
        ->check(CLI::Range(std::uint64_t {1}, std::uint64_t {100'000'000}))
        ->capture_default_str();
    command.add_option("--batch", workload.batch, "Sequences decoded together")
        ->type_name("N")
        ->check(CLI::Range(std::uint64_t {1}, std::uint64_t {1'000'000}))
        ->capture_default_str();
}

Result<std::vector<DeviceProfile>> bundledDevices(const Session& session)
{
    return resourceFolder(session.executable).and_then([](const std::filesystem::path& folder) {
        return loadDevices(deviceFolder(folder));
    });
}

Result<DeviceProfile> findDevice(const Session& session, const std::string& name)
{
    if (name.ends_with(".json")) {
        const auto file = MappedFile::open(name);
        if (!file)
            return tl::unexpected(file.error());
        const auto bytes = (*file)->bytes();
        auto profile = DeviceProfile::fromJson({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, name);
        if (profile && profile->id.empty())
            profile->id = std::filesystem::path(name).stem().string();
        if (!profile && profile.error().code == ErrorCode::InvalidArgument)
            profile.error().code = ErrorCode::Malformed;
        return profile;
    }
    auto devices = bundledDevices(session);
    if (!devices)
        return tl::unexpected(devices.error());
    std::string known;
    for (auto& device : *devices) {
        if (device.id == name)
            return std::move(device);
        known += (known.empty() ? "" : ", ") + device.id;
    }
    return usageError("--device " + name, "no such device; there are " + known);
}

}  // namespace quantloupe::cli
