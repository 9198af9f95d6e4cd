#pragma once

#include <memory>
#include <string>

#include "server/served_models.h"

namespace hearth {

/// One model whose loading has begun, as a server has it.
struct LoadingModel {
  explicit LoadingModel(const std::string& name) : model(std::make_shared<ServedModel>(name)) {
    model->set_loading("resolve");
  }

  ServedModel* operator->() const { return model.get(); }

  std::shared_ptr<ServedModel> model;
  ServedModels models{{model}};
};

}  // namespace hearth
