// SPDX-License-Identifier: GPL-3.0-or-later
// Whatever an importable target accepts comes back tensor by tensor, or with a warning: nothing is lost in silence.
#include "core/export_targets/export_target.h"
#include "tests/support/every_scheme.h"
#include "tests/support/model_catalogs.h"

#include <QTest>

#include <algorithm>
#include <bitset>
#include <cctype>
#include <cstdlib>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <utility>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

ModelCatalog model()
{
    return llama({.blocks = 3, .hidden = 256, .intermediate = 512, .heads = 8, .keyValueHeads = 8, .vocabulary = 512});
}

/// Plans to try: weights alone, and with dynamic and static inputs.
std::vector<LayerPlan> everyPlan()
{
    std::vector<LayerPlan> plans;
    auto schemes = everyScheme();
    for (const char* scheme :
        {"int4:g32:symf", "int4:g64:asymf", "int4:g128:symf", "int8:channel:symf", "int8:g32:asym", "int8:channel:asym",
            "int2:g64:symf", "int3:g128:asym", "int6:g64:asymf", "fp8_e4m3:channel", "int8:g128:symf"})
        schemes.emplace_back(scheme);
    for (const auto& scheme : schemes)
        for (const char* inputs : {"", "/int8:token:symf", "/fp8_e4m3:token", "/int8:tensor:symf"})
            if (const auto plan = LayerPlan::parse(scheme + inputs))
                plans.push_back(*plan);
    return plans;
}

std::vector<std::optional<LayerPlan>> plansOf(const Recipe& recipe, const ModelCatalog& catalog)
{
    std::vector<std::optional<LayerPlan>> plans;
    for (const auto& planned : resolve(recipe, catalog).tensors)
        // What is stored in this type is as it is stored.
        plans.push_back(planned.scheme && planned.scheme->format != Format::Bf16
                ? std::optional(LayerPlan {*planned.scheme, planned.activations})
                : std::nullopt);
    return plans;
}

std::string nameOf(const std::optional<LayerPlan>& plan)
{
    return plan ? plan->toString() : "as stored";
}

/// ggml's types in blocks of 32 are these integers under another name: llama.cpp's files know no other.
bool isCounterpart(const std::optional<LayerPlan>& wanted, const std::optional<LayerPlan>& found)
{
    if (!wanted || !found || !isInteger(wanted->weights.format))
        return false;
    const std::pair<const char*, const char*> pairs[] {{"int4:g32:symf", "q4_0"}, {"int4:g32:asymf", "q4_1"},
        {"int5:g32:symf", "q5_0"}, {"int5:g32:asymf", "q5_1"}, {"int8:g32", "q8_0"}};
    return std::any_of(std::begin(pairs), std::end(pairs),
        [&](const auto& pair) { return wanted->toString() == pair.first && found->toString() == pair.second; });
}

bool goesOn(char c)
{
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

/// Whether a warning names a tensor, by itself or by its module, and not only one that begins alike.
bool names(const std::string& warning, std::string tensor)
{
    constexpr std::string_view suffix = ".weight";
    if (tensor.ends_with(suffix))
        tensor.resize(tensor.size() - suffix.size());
    for (auto at = warning.find(tensor); at != std::string::npos; at = warning.find(tensor, at + 1)) {
        const auto end = at + tensor.size();
        if ((at == 0 || !goesOn(warning[at - 1])) && (end == warning.size() || !goesOn(warning[end])))
            return true;
    }
    return false;
}

using Plans = std::vector<std::optional<LayerPlan>>;

/// Which parts of a plan are no longer what they were; the last: whether the tensor is quantized at all.
std::bitset<8> changesOf(const std::optional<LayerPlan>& wanted, const std::optional<LayerPlan>& found)
{
    std::bitset<8> changes;
    const auto inputsOf = [](const auto& plan) { return plan ? plan->activations : std::nullopt; };
    changes[6] = inputsOf(wanted) != inputsOf(found);
    changes[7] = wanted.has_value() != found.has_value();
    if (!wanted || !found || isCounterpart(LayerPlan {wanted->weights, {}}, LayerPlan {found->weights, {}}))
        return changes;
    const auto &a = wanted->weights, &b = found->weights;
    changes[0] = a.format != b.format;
    changes[1] = a.granularity != b.granularity;
    changes[2] = a.symmetry != b.symmetry;
    changes[3] = a.range != b.range;
    changes[4] = a.scales != b.scales;
    changes[5] = a.algorithms != b.algorithms;
    return changes;
}

/// How many tensors a list that was cut short ("a, b and 17 more") leaves unnamed.
std::size_t unnamed(const std::string& warning)
{
    constexpr std::string_view end = " more", begin = " and ";
    const auto at = warning.rfind(begin);
    if (!warning.ends_with(end) || at == std::string::npos)
        return 0;
    return std::strtoul(warning.c_str() + at + begin.size(), nullptr, 10);
}

/// With those that are stored in their own type.
Plans exactPlansOf(const Recipe& recipe, const ModelCatalog& catalog)
{
    Plans plans;
    for (const auto& planned : resolve(recipe, catalog).tensors)
        plans.push_back(
            planned.scheme ? std::optional(LayerPlan {*planned.scheme, planned.activations}) : std::nullopt);
    return plans;
}

/// Whether warnings are about what became of a tensor: one names it, or a list cut short names another of which the
/// same became, or, for each part that changed, such a list names another of which that part did, and leaves no fewer
/// unnamed than there are such tensors beside.
bool isExplained(const std::vector<std::string>& warnings, std::size_t tensor, const Plans& wanted, const Plans& found,
    const ModelCatalog& catalog)
{
    if (std::any_of(warnings.begin(), warnings.end(),
            [&](const std::string& warning) { return names(warning, catalog.tensors[tensor].name); }))
        return true;
    for (std::size_t other = 0; other < wanted.size(); ++other)
        if (wanted[other] == wanted[tensor] && found[other] == found[tensor]
            && std::any_of(warnings.begin(), warnings.end(), [&](const std::string& warning) {
                   return unnamed(warning) > 0 && names(warning, catalog.tensors[other].name);
               }))
            return true;
    const auto changes = changesOf(wanted[tensor], found[tensor]);
    const auto isListed = [&](const std::string& warning, std::size_t part) {
        std::size_t named = 0, others = 0;
        for (std::size_t other = 0; other < wanted.size(); ++other)
            if (changesOf(wanted[other], found[other])[part])
                ++(names(warning, catalog.tensors[other].name) ? named : others);
        return named > 0 && unnamed(warning) >= others;
    };
    for (std::size_t part = 0; part < changes.size(); ++part)
        if (changes[part] && std::none_of(warnings.begin(), warnings.end(), [&](const std::string& warning) {
                return isListed(warning, part);
            }))
            return false;
    return changes.any();
}

/// One plan for all, one exception by name, one kept role.
Recipe recipeOf(const LayerPlan& plan, const LayerPlan& other)
{
    Recipe recipe;
    recipe.defaultPlan = plan;
    recipe.keep = {"*norm*", "*embed_tokens*", "lm_head*", "*layers.2.mlp.up_proj*"};
    recipe.rules = {{"model.layers.1.mlp.down_proj.weight", other}};
    return recipe;
}

}  // namespace

class TestReimport : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void whatIsAcceptedComesBack_data()
    {
        QTest::addColumn<QString>("target");
        for (const auto* target : exportTargets())
            if (target->read != nullptr)
                QTest::newRow(std::string(target->name).c_str())
                    << QString::fromUtf8(target->name.data(), qsizetype(target->name.size()));
    }

    void whatIsAcceptedComesBack()
    {
        QFETCH(const QString, target);
        const auto* row = findExportTarget(target.toStdString());
        const auto catalog = model();
        const auto plans = everyPlan();
        std::size_t exact = 0, refused = 0, warned = 0;
        std::set<std::string> accepted;
        for (std::size_t i = 0; i < plans.size(); ++i) {
            const auto recipe = recipeOf(plans[i], plans[(i + 7) % plans.size()]);
            for (const auto& tried : {recipe, recipeOf(plans[i], plans[i])}) {
                const auto result = row->write(tried, resolve(tried, catalog), catalog);
                if (!result) {
                    ++refused;
                    QVERIFY(!result.error().reason.empty());
                    continue;
                }
                auto text = result->files.front().content;
                if (!result->command.empty())
                    text += "\n" + result->command;
                const auto read = importRecipe(*row, text, catalog, "test");
                QVERIFY2(read, read ? "" : (plans[i].toString() + ": " + describe(read.error())).c_str());
                const auto wanted = plansOf(tried, catalog), found = plansOf(read->recipe, catalog);
                auto warnings = result->warnings;
                warnings.insert(warnings.end(), read->warnings.begin(), read->warnings.end());
                const auto exactlyWanted = exactPlansOf(tried, catalog),
                           exactlyFound = exactPlansOf(read->recipe, catalog);
                bool changed = false;
                for (std::size_t tensor = 0; tensor < wanted.size(); ++tensor) {
                    if (found[tensor] == wanted[tensor] || isCounterpart(wanted[tensor], found[tensor]))
                        continue;
                    changed = true;
                    QVERIFY2(isExplained(warnings, tensor, exactlyWanted, exactlyFound, catalog),
                        (catalog.tensors[tensor].name + ": " + nameOf(wanted[tensor]) + " came back as "
                            + nameOf(found[tensor]) + ", and no warning says so")
                            .c_str());
                }
                if (changed) {
                    ++warned;
                    continue;
                }
                accepted.insert(plans[i].toString());
                ++exact;
            }
        }
        qInfo("%zu recipes the same, %zu changed with a warning, %zu refused; %zu schemes", exact, warned, refused,
            accepted.size());
        QVERIFY(accepted.size() >= 4);
    }
};

QTEST_APPLESS_MAIN(TestReimport)
#include "tst_reimport.moc"
